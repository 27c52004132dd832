"""Judged reports for the tests of what CI systems read."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
from gate_evidence import candidate, report
from hypothesis import strategies as st

from mlopt.results.report import GateVerdict, Report

NASTY = "\x1b[31mx\x00\r\n</testcase>]]>|<b>'\"\\ #1 100%: a,b ::error::y\u202e\n# head"
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
"""Any text that a ``report.json`` can hold."""

MET = GateVerdict(
    metric="speedup.median", limit=">= 1.2 vs onnx_fp32", value=1.36, ci95=(1.31, 1.42), n=None, verdict="pass",
    message="1.36 [1.31, 1.42]: met.", found="pass",
)  # fmt: skip
BROKEN = GateVerdict(
    metric="latency.p95_ms", limit="<= 11", value=12.0, ci95=(11.6, 12.5), n=1000, verdict="fail",
    message="12 [11.6, 12.5], n = 1000: not met.", found="fail",
)  # fmt: skip
UNDECIDED = GateVerdict(
    metric="accuracy.drop_pt", limit="<= 0.5", value=0.1, ci95=(-0.3, 0.62), n=1000, verdict="inconclusive",
    message="0.1 [-0.3, 0.62], n = 1000: about 2703 samples would decide.", found="inconclusive",
)  # fmt: skip
WARNED = UNDECIDED.model_copy(update={"verdict": "pass", "on_inconclusive": "warn"})
ACCEPTED = UNDECIDED.model_copy(update={"verdict": "pass", "on_inconclusive": "pass"})

_WORST_FIRST = ("fail", "inconclusive", "pass")


def judged(*gates: GateVerdict, **changes: Any) -> Report:
    """Return a report with these verdicts."""
    verdict = min((gate.verdict for gate in gates), key=_WORST_FIRST.index)
    return report(**({"gates": gates, "verdict": verdict} | changes))


def unmeasured() -> Report:
    """Return a report without accuracy, and with a figure that no float holds."""
    final = candidate("final", accuracy=None).model_copy(update={"size_bytes": 10**400})
    return judged(MET).model_copy(update={"final": final, "accuracy_drop": None})


def strict_json(text: str, schema: dict[str, Any]) -> Any:
    """Parse what has no NaN or infinity and is of this schema."""

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is no JSON")

    document = json.loads(text, parse_constant=refuse)
    jsonschema.validate(document, schema)
    return document
