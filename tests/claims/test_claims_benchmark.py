"""What was measured, as a claim: the figures of the report, as they stand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mlopt import claims


def predicates(directory: Path) -> dict[str, Any]:
    return {name: json.loads(text)["predicate"] for name, text in claims.statements(directory).items()}


def test_the_benchmark_has_the_figures_of_the_report(artifact: Path) -> None:
    told = predicates(artifact)["benchmark"]
    report = json.loads((artifact / "report.json").read_bytes())
    assert told["candidates"]["final"] == report["final"]
    assert told["candidates"][told["baseline"]] == report["baseline"]
    assert told["speedups"]["onnx_fp32"]["noise_floor"] == 0.06
    assert told["environment"] == report["environment"]
    assert [each["name"] for each in told["evidence"]] == ["report.json", "samples.json"]
