"""The verb ``diff``: what it shows of two reports, in each format, and that it only informs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from gate_evidence import SPEEDUP, candidate, report
from typer.testing import CliRunner, Result

from mlopt.cli.diff import diff
from mlopt.core.errors import OutputError, UserError
from mlopt.report import write
from mlopt.results.report import Cpu, Environment, Report

FASTER = SPEEDUP.model_copy(update={"median": 2.0, "ci95": (1.9, 2.1)})


def run(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(diff)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def environment(**changes: Any) -> Environment:
    return report().environment.model_copy(update=changes)


@pytest.fixture
def pair(tmp_path: Path) -> Callable[[Report, Report], tuple[Path, Path]]:
    """``pair(old, new)`` writes both reports."""

    def make(old: Report, new: Report) -> tuple[Path, Path]:
        files = tmp_path / "old.json", tmp_path / "new.json"
        for one, file in zip((old, new), files, strict=True):
            write(one, file)
        return files

    return make


Pair = Callable[[Report, Report], tuple[Path, Path]]


def rows(result: Result) -> dict[str, str]:
    """The verdict column, by metric."""
    lines = [line.split("  ") for line in result.stdout.splitlines() if "  " in line]
    return {line[0]: line[-1].strip() for line in lines}


def test_text(pair: Pair, golden: Callable[[str, str], None]):
    old, new = pair(report(), report(final={"size_bytes": 2_000_000}, speedup=FASTER))
    result = run(old, new)
    assert result.exit_code == 0
    found = rows(result)
    assert (found["speedup.median"], found["size_mb"], found["latency.p50_ms"]) == ("better", "better", "the same")
    golden("diff/text.txt", result.stdout)


def test_markdown(pair: Pair, golden: Callable[[str, str], None]):
    old, new = pair(report(), report(speedup=FASTER, environment=environment(python="3.12")))
    golden("diff/markdown.md", run(old, new, "--format", "md").stdout)


def test_json(pair: Pair):
    result = run(*pair(report(), report(speedup=FASTER)), "--json")
    document = json.loads(result.stdout)
    assert document["old"] == document["new"] == {"name": "digits", "created": "2026-11-23T14:20:11Z"}
    assert document["environment"] == []
    row = next(one for one in document["rows"] if one["metric"] == "speedup.median")
    assert (row["old"], row["new"], row["verdict"]) == (1.36, 2.0, "better")
    assert row["interval"][0] > 1


def test_what_is_worse_exits_with_0_too(pair: Pair):
    result = run(*pair(report(speedup=FASTER), report()))
    assert (result.exit_code, rows(result)["speedup.median"]) == (0, "worse")


def test_other_hardware_comes_first_and_is_not_compared(pair: Pair):
    cpu = Cpu(model="Xeon", isa=("avx2",), cores=8)
    result = run(*pair(report(), report(speedup=FASTER, environment=environment(cpu=cpu))))
    text, found = result.stdout, rows(result)
    difference = f"CPU was {report().environment.cpu.model}, is Xeon"
    assert text.index("the environments differ:") < text.index(difference) < text.index("metric ")
    timed = [name for name in found if name.startswith(("latency", "speedup", "throughput", "peak_rss"))]
    assert len(timed) >= 7
    assert {found[name] for name in timed} == {"not comparable"}
    assert "cores was 2, is 8" in text[text.index("not comparable:") :]


def test_an_artifact_is_read_like_its_report(pair: Pair, tmp_path: Path):
    old, _ = pair(report(), report())
    (tmp_path / "artifact").mkdir()
    write(report(), tmp_path / "artifact" / "report.json")
    assert run(old, tmp_path / "artifact").exit_code == 0


def test_it_is_written_to_a_file(pair: Pair, tmp_path: Path):
    files = pair(report(), report())
    shown = run(*files, "--format", "md").stdout
    assert run(*files, "--format", "md", "-o", tmp_path / "diff.md").stdout == ""
    assert (tmp_path / "diff.md").read_text(encoding="utf-8") == shown
    with pytest.raises(OutputError):
        run(*files, "-o", tmp_path / "absent" / "diff.md")


def test_bad_input_is_an_error_of_the_user(pair: Pair, tmp_path: Path):
    old, new = pair(report(), report())
    with pytest.raises(UserError, match="no report"):
        run(old, tmp_path / "absent.json")
    new.write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="not a report"):
        run(old, new)
    with pytest.raises(UserError, match="contradict"):
        run(old, old, "--json", "--format", "md")


def test_a_report_cannot_break_out_of_what_is_shown(pair: Pair):
    nasty = "\x1b[31mx|\n# head"
    changed = environment(gpu=nasty)
    new = report(name=nasty, created=nasty, environment=changed)
    final = new.final.model_copy(update={"options": {nasty: 1}})
    files = pair(report(), new.model_copy(update={"final": final}))
    for shape in ("text", "md"):
        text = run(*files, "--format", shape).stdout
        assert "\x1b" not in text
        assert "\n# head" not in text


def test_a_model_without_accuracy_has_no_such_row(pair: Pair):
    without = candidate("final", accuracy=None)
    result = run(*pair(report(), report().model_copy(update={"final": without, "accuracy_drop": None})))
    assert "accuracy.value" not in rows(result)


def test_another_runtime_is_told_in_every_format(pair: Pair):
    files = pair(report(), report(final={"runtime": "openvino", "options": {"precision": "bf16"}}))
    said = "what is shipped runs in: was onnxruntime, is openvino bf16"
    assert said in run(*files).stdout.splitlines()
    assert f"- {said}" in run(*files, "--format", "md").stdout.splitlines()
    assert json.loads(run(*files, "--json").stdout)["shipped"] == [said]
