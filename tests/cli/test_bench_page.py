"""What is pasted into a pull request, and what a spreadsheet reads: the figures that the screen shows."""

from __future__ import annotations

import csv as readers
import io
from typing import Any

from gate_evidence import SPEEDUP, candidate, report
from packed_artifact import PASSED

from mlopt.bench.benchmark import Result
from mlopt.cli.bench_page import csv, markdown
from mlopt.results.report import Report

BASE, NEW = candidate("onnx_fp32"), candidate("final")


def result(found: Report | None, **changes: Any) -> Result:
    parts: dict[str, Any] = {
        "candidates": {"onnx_fp32": BASE, "final": NEW}, "speedups": {"final": SPEEDUP}, "lost": {}, "blocks": {},
    }  # fmt: skip
    return Result(found, **(parts | changes))


def test_a_pull_request_gets_a_table_the_machine_and_the_verdict() -> None:
    found = report(gates=(PASSED,), verdict="pass")
    lines = markdown(result(found)).splitlines()
    assert lines[0].startswith("| model | p50 ms | p95 ms |")
    assert lines[2].startswith("| onnx_fp32 | 10.000 | 12.000 | 98.0 | baseline |")
    assert lines[3].startswith("| final | 10.000 | 12.000 | 98.0 | 1.36x | 1.31 to 1.42 |")
    assert found.environment.cpu.model in "\n".join(lines).replace("\\", "")
    assert "**PASS**" in lines
    assert f"{PASSED.metric} {PASSED.limit}".split()[0] in "\n".join(lines).replace("\\", "")


def test_without_a_report_there_is_the_table_alone() -> None:
    shown = markdown(result(None, lost={"bad|.onnx": "it died\n# head"}))
    assert not any(line.startswith("#") for line in shown.splitlines())
    assert "lost: it died" in shown
    assert all(line.startswith("|") for line in shown.splitlines())


def test_a_spreadsheet_gets_every_figure_in_full() -> None:
    rows = list(readers.DictReader(io.StringIO(csv(result(report(), lost={"=bad": "it died"})))))
    final = next(row for row in rows if row["model"] == "final")
    assert float(final["p50_ms"]) == NEW.latency_ms.p50
    assert (float(final["speedup"]), float(final["speedup_low"])) == (SPEEDUP.median, SPEEDUP.ci95[0])
    assert (rows[-1]["model"], rows[-1]["p50_ms"], rows[-1]["lost"]) == ("'=bad", "", "it died")
