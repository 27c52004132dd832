"""The claim of what was measured: mlopt benchmark v1, for those who want the figures without the report.

Every key is that of ``report.json`` (docs/report.md), but for three: ``candidates`` are all that was measured, by name;
``baseline`` and ``final`` name two of them; ``evidence`` are the files that hold all the rest.
"""

from __future__ import annotations

from typing import Any

from mlopt.artifact.layout import Role
from mlopt.claims.facts import Facts
from mlopt.claims.naming import portable

_AS_REPORTED = (
    "created",
    "objective",
    "verdict",
    "environment",
    "speedups",
    "accuracy_drop",
    "data",
    "sampling",
    "notes",
    "effort",
)


def predicate(facts: Facts) -> dict[str, Any]:
    """Return the predicate."""
    report = facts.report.model_dump(mode="json", by_alias=True)
    evidence = [facts.file(role) for role in (Role.REPORT, Role.SAMPLES) if role in facts.manifest.files.values()]
    value: dict[str, Any] = portable({
        **{key: report[key] for key in _AS_REPORTED},
        "candidates": {**report["references"], facts.report.final.name: report["final"]},
        "baseline": facts.report.baseline.name,
        "final": facts.report.final.name,
        "evidence": evidence,
    })  # fmt: skip
    return value
