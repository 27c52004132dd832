from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tuned_recipe
from report_example import example_report
from study_example import example_study

import mlopt.tune.study
from mlopt.cli.app import run
from mlopt.core.errors import ModelError
from mlopt.run.packaging import Artifact
from mlopt.tune.asked import Asked, StudyResult


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tuned_recipe.write(tmp_path)
    return tmp_path


@pytest.fixture
def asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Asked]:
    """What studies were asked; each comes to the example at once."""
    seen: list[Asked] = []

    def study(one: Asked, _notify: Any, _say: Any, *_make: Any) -> StudyResult:
        seen.append(one)
        if one.request.source.stem == "bad":
            raise ModelError("it is no model")
        artifact = Artifact(
            folder / "artifacts/small", example_report(), signed=True, version=1, messages=("a message",)
        )
        return StudyResult(artifact, example_study(), "name: best\n", folder / "small.study")

    monkeypatch.setattr(mlopt.tune.study, "run", study)
    return seen


def test_a_study_is_told_and_its_page_written(folder: Path, asked: list[Asked], capsys: Any) -> None:
    arguments = [
        "tune",
        "net.yaml",
        "--budget",
        "5m",
        "--trials",
        "40",
        "--only",
        "passes.",
        "--seed",
        "3",
        "--no-sign",
    ]
    assert run([*arguments, "--export", "best.yaml"]) == example_code()
    (one,) = asked
    assert (one.budget, one.trials, one.only, one.seed) == (300.0, 40, ("passes.",), 3)
    assert (folder / "best.yaml").read_text() == "name: best\n"
    assert {path.name for path in (folder / "small.study").iterdir()} == {"study.json", "study.html", "study.md"}
    shown = capsys.readouterr().out
    assert "a message" in shown
    assert "small.study/study.html" in shown


def test_json_alone_is_on_standard_output(asked: list[Asked], capsys: Any) -> None:
    run(["tune", "net.yaml", "--json", "--no-sign"])
    assert json.loads(capsys.readouterr().out)["schema"] == "mlopt.study/v1"


def test_a_fleet_ends_with_the_worst_of_its_codes(folder: Path, asked: list[Asked], capsys: Any) -> None:
    (folder / "bad.yaml").touch()
    assert run(["tune", "--sweep", "*.yaml", "--no-sign", "--budget", "1m"]) == 2
    assert [each.request.source.stem for each in asked] == ["bad", "net"]
    lines = capsys.readouterr().out.splitlines()
    assert "bad.yaml  it is no model" in lines


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "there is nothing to tune"),
        (["net.yaml", "--sweep", "*.yaml"], "one recipe is named, and a pattern of several"),
        (["--sweep", "*.yaml", "-o", "x"], "are about one recipe"),
        (["net.yaml", "--export", "elsewhere/best.yaml"], "must stand beside it"),
        (["net.yaml", "--export", "net.yaml"], "the recipe itself is not overwritten"),
        (["--sweep", "none/*.yaml"], "no recipe is of this pattern"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    asked: list[Asked], arguments: list[str], said: str, capsys: Any
) -> None:
    assert run(["tune", *arguments, "--no-sign"]) == 2
    assert said in capsys.readouterr().err
    assert asked == []


@pytest.mark.process
def test_a_dry_run_shows_the_space(folder: Path, capsys: Any) -> None:
    assert run(["tune", "net.yaml", "--dry-run", "--only", "passes.quantize"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "parameter means something with values, the recipe's own first"
    assert "passes.quantize.mode passes.quantize on static, dynamic" in lines
    assert any("recipe: the recipe as it is" in line for line in lines)
    assert not (folder / "artifacts").exists()


def example_code() -> int:
    return {"pass": 0, "fail": 1, "inconclusive": 3}[example_report().verdict]
