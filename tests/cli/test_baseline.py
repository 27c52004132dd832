"""The verb ``baseline``: what is kept, what is not, and that gates read it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gate_evidence import SPEEDUP, report
from typer.testing import CliRunner, Result

from mlopt.cli.baseline import FOLDER, app
from mlopt.cli.program import program
from mlopt.core.errors import OutputError, UserError
from mlopt.report import read, write
from mlopt.results.report import Report

PASSED = report().model_copy(update={"verdict": "pass"})


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def written(one: Report, name: str = "report.json") -> Path:
    write(one, Path(name))
    return Path(name)


def test_it_is_a_verb_of_the_program() -> None:
    assert set(program().commands["baseline"].commands) == {"save", "show"}


def test_a_report_is_kept_whole_under_its_name() -> None:
    run("save", written(PASSED))
    assert read(FOLDER / f"{PASSED.name}.json") == PASSED


@pytest.mark.parametrize("verdict", ["fail", "inconclusive"])
def test_what_did_not_pass_is_kept_only_if_that_is_said(verdict: str) -> None:
    file = written(PASSED.model_copy(update={"verdict": verdict}))
    with pytest.raises(UserError, match="did not pass") as caught:
        run("save", file)
    assert "mlopt gate" in str(caught.value.problems[0].fix)
    assert not FOLDER.exists()
    run("save", file, "--allow-ungated", "-o", "kept.json")
    assert read(Path("kept.json")).verdict == verdict


def test_what_it_takes_the_place_of_is_compared_with_it() -> None:
    run("save", written(PASSED))
    faster = SPEEDUP.model_copy(update={"median": 2.0, "ci95": (1.9, 2.1)})
    said = run("save", written(PASSED.model_copy(update={"speedup": faster}))).output
    assert f"in place of that of {PASSED.created}" in said
    assert read(FOLDER / f"{PASSED.name}.json").speedup.median == 2.0


def test_a_folder_that_is_not_there_is_not_made_where_somebody_named_it() -> None:
    with pytest.raises(OutputError, match="folder does not exist"):
        run("save", written(PASSED), "-o", "nowhere/kept.json")


def test_all_that_is_kept_is_listed_in_words_and_as_data() -> None:
    for name in ("one", "two"):
        run("save", written(PASSED.model_copy(update={"name": name})))
    said = run("show").output
    assert [line.split()[0] for line in said.splitlines()] == ["name", "one", "two"]
    assert PASSED.environment.cpu.model in said
    found = json.loads(run("show", "--json").output)
    assert [each["file"] for each in found] == ["baselines/one.json", "baselines/two.json"]
    assert found[0]["p50_ms"] == PASSED.final.latency_ms.p50


def test_where_nothing_is_kept_the_next_command_is_named() -> None:
    with pytest.raises(UserError, match="no baseline here") as caught:
        run("show")
    assert "mlopt baseline save" in str(caught.value.problems[0].fix)


def test_what_is_no_report_is_refused() -> None:
    Path("other.json").write_text("{}")
    with pytest.raises(UserError, match="not a report"):
        run("show", "other.json")
