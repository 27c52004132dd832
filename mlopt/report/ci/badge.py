"""A badge for a README: JSON that shields.io reads from a URL.

Source: "Endpoint Badge" in the documentation of shields.io.
"""

from __future__ import annotations

from typing import Any

from mlopt.core.foreign_text import as_json
from mlopt.report import control, facts
from mlopt.results.report import Report

_LABEL_LENGTH = 60


def render(report: Report) -> str:
    """Return the badge: how fast the model is if its gates passed, else its verdict."""
    badge: dict[str, Any] = {"schemaVersion": 1, "label": facts.shorten(report.name, _LABEL_LENGTH) or "mlopt"}
    if report.verdict == "fail":
        badge |= {"message": "failing", "color": "red", "isError": True}
    elif report.verdict == "inconclusive":
        badge |= {"message": "inconclusive", "color": "yellow"}
    else:
        badge |= {"message": _achieved(report), "color": "brightgreen"}
    return as_json(badge) + "\n"


def _achieved(report: Report) -> str:
    """A speed is claimed only where it is beyond the noise; a recipe for size tells the size."""
    if report.objective == "size":
        share = report.final.size_bytes / max(1, facts.compared(report).size_bytes)
        return f"{facts.percent(share, 0)} of the size"
    return f"{facts.ratio(report.speedup.median)} as fast" if control.beyond_noise(report.speedup) else "passing"
