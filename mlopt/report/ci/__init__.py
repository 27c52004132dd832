"""What CI systems read: a module for each format, each a pure function from a judged report to text.

The verdicts are the report's own ``gates``: whoever judges other gates puts them into the report first. Names and
messages may come from anybody, so every format escapes them by its own rules, and holds finite numbers only: a figure
that was not measured is left out.
"""

from __future__ import annotations

import math

from mlopt.core.foreign_text import plain
from mlopt.results.report import CandidateRecord, GateVerdict, Report

QUANTILES = {"p50": "0.5", "p90": "0.9", "p95": "0.95", "p99": "0.99", "p999": "0.999"}
"""The percentiles of ``Latency``, and the same as a share of one."""


def candidates(report: Report) -> dict[str, CandidateRecord]:
    """Return every measured model by its name: the references first, the final model last."""
    measured = (*report.references.values(), report.baseline, report.final)
    return {plain(one.name): one for one in measured}


def title(gate: GateVerdict) -> str:
    """Return a gate as one line of plain text, such as ``speedup.median >= 1.2 vs onnx_fp32``."""
    return plain(f"{gate.metric} {gate.limit}")


def accepted_undecided(gate: GateVerdict) -> bool:
    """Tell whether a gate passes only because its ``on_inconclusive`` says so."""
    return gate.verdict == "pass" and gate.found == "inconclusive"


def finite(value: float | None, scale: float = 1.0) -> float | None:
    """Return ``value * scale`` to twelve digits, or ``None`` where that is no finite number."""
    if value is None:
        return None
    try:
        scaled = float(value) * scale
    except OverflowError:  # an integer beyond what a float holds
        return None
    return float(f"{scaled:.12g}") if math.isfinite(scaled) else None
