from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted_fault import planted, samples

import mlopt.bisect.find
from mlopt.bisect.edit import Edited
from mlopt.bisect.finding import Chosen, Finding, StepFigures
from mlopt.bisect.limits import LimitFigure
from mlopt.bisect.suspects import Suspect
from mlopt.cli.app import run

GOOD, BAD = (
    LimitFigure("fidelity.cosine", ">= 0.99", 0.9996, True),
    LimitFigure("fidelity.cosine", ">= 0.99", 0.48, False),
)
SQNR = LimitFigure("fidelity.sqnr_db", ">= 20", None, True)
EDITED = Edited("name: new\n", "  - quantize: {mode: static, exclude: [conv2, '/a[0]']}", whole=False)
NODES = (Suspect("conv2", "Conv", "c2", 31.86, 0.0), Suspect("/a[0]", "Conv", None, None, None))
CHAIN = (
    StepFigures("source", "given", (GOOD, SQNR)),
    StepFigures("simplify", "refused", (), "nothing to do"),
    StepFigures("quantize", "applied", (BAD, SQNR)),
)
CHOSEN = Chosen(NODES, "calibration", 32, (BAD,), (GOOD,), (GOOD,), EDITED)
FOUND = Finding(CHAIN, 48, broken_by=2, chosen=CHOSEN, trials=3, notes=("a note",))


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "net.yaml"
    path.write_text("name: old\n")
    return path


def finds(monkeypatch: pytest.MonkeyPatch, found: Finding) -> list[Any]:
    asked: list[Any] = []

    def bisect(request: Any, _notify: Any) -> Finding:
        asked.append(request)
        return found

    monkeypatch.setattr(mlopt.bisect.find, "bisect", bisect)
    return asked


def test_what_was_found_is_told_and_written(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = finds(monkeypatch, FOUND)
    assert run(["bisect", "net.yaml", "-o", "new.yaml", "--allow-code"]) == 0
    assert asked[0].allow_code
    shown = capsys.readouterr()
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    assert "1 simplify was refused: nothing to do" in lines
    assert "2 quantize applied 0.48 broken exact" in lines
    assert "step 2, 'quantize', breaks fidelity.cosine 0.48 (>= 0.99)" in lines
    assert "conv2 Conv c2 31.9 0.0" in lines
    assert "/a[0] Conv" in lines
    assert "chosen on 32 calibration samples, in 3 runs of the pass:" in lines
    assert "on the 48 evaluation samples, at the end of the chain, the limit holds:" in lines
    assert EDITED.step in shown.out
    assert "note: a note" in lines
    assert (recipe.parent / "new.yaml").read_text() == "name: new\n"
    assert "wrote new.yaml (anew: its comments are lost)" in shown.err
    assert "next: mlopt optimize new.yaml --allow-code" in shown.err
    assert recipe.read_text() == "name: old\n"


@pytest.mark.parametrize(("format_", "start"), [("md", "| step | status |"), ("csv", "step,status,metric,")])
def test_tables_alone_are_on_standard_output(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], format_: str, start: str
) -> None:
    finds(monkeypatch, FOUND)
    assert run(["bisect", str(recipe), "--format", format_]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(start)
    assert EDITED.step in shown.err


def test_json_alone_is_on_standard_output(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finds(monkeypatch, FOUND)
    assert run(["bisect", "net.yaml", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["met"], printed["broken_by"], printed["trials"]) == (True, 2, 3)
    assert [node["node"] for node in printed["chosen"]["nodes"]] == ["conv2", "/a[0]"]
    assert printed["chosen"]["edited"]["step"] == EDITED.step


def test_nothing_to_bisect_is_no_failure(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finds(monkeypatch, Finding(CHAIN[:1], 48))
    assert run(["bisect", "net.yaml", "-o", "new.yaml"]) == 0
    shown = capsys.readouterr()
    assert "nothing to bisect: every limit holds after every step" in shown.out
    assert "nothing was written" in shown.err
    assert not (recipe.parent / "new.yaml").exists()


def test_a_limit_that_stays_broken_is_a_failure(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finds(monkeypatch, Finding(CHAIN, 48, broken_by=2, trials=3, advice="leave 'quantize' out of the passes"))
    assert run(["bisect", "net.yaml"]) == 1
    assert "leave 'quantize' out of the passes" in capsys.readouterr().out
    chosen = Chosen(NODES, "evaluation", 48, (BAD,), (GOOD,), (BAD,), EDITED)
    finds(monkeypatch, Finding(CHAIN, 48, broken_by=2, chosen=chosen, trials=3))
    assert run(["bisect", "net.yaml"]) == 1
    assert "at the end of the chain, the limit is still broken:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["net.yaml", "-o", "./net.yaml"], "the recipe itself is not overwritten"),
        (["net.yaml", "-o", "other/net.yaml"], "fix       -o net.yaml"),
        (["model.onnx"], "only a recipe can be bisected"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_work(
    arguments: list[str], message: str, recipe: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    asked = finds(monkeypatch, FOUND)
    assert run(["bisect", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert asked == []


@pytest.mark.process
def test_the_recipe_that_is_written_passes_its_gate(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planted(recipe.parent / "planted.onnx")
    for name, count, seed in (("calibration", 16, 1), ("evaluation", 24, 50)):
        values: dict[str, Any] = samples(count, seed)
        np.savez(recipe.parent / f"{name}.npz", **values)
    recipe.write_text(
        "apiVersion: mlopt/v1\nname: planted\nmodel: {source: ./planted.onnx}\ndata:\n"
        "  calibration: {source: ./calibration.npz}\n  evaluation: {source: ./evaluation.npz}\n"
        "passes:\n  - simplify\n  - quantize: {mode: static}  # INT8\ngates:\n  - {metric: fidelity.sqnr_db, min: 30}\n"
        "  - {metric: speedup.median, min: 0.001, on_inconclusive: pass}\n"
        "measure: {seconds: 0.05, rounds: 7, max_time: 1, operators: false}\n"
    )
    assert run(["optimize", "net.yaml", "--no-sign"]) == 1
    assert run(["bisect", "net.yaml", "-o", "mended.yaml"]) == 0
    assert "  - quantize: {mode: static, exclude: [conv2, conv3]}  # INT8\n" in Path("mended.yaml").read_text()
    assert run(["optimize", "mended.yaml", "--no-sign"]) == 0
