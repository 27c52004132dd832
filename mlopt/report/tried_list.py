"""Every deployable that was looked at, as pages and console list it: what is shipped, and why the others are not.

A report of a stranger may hold thousands, so each rendering shows the first of them and counts the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlopt.core.foreign_text import plain
from mlopt.report import facts
from mlopt.report.options import beyond_defaults
from mlopt.report.tried import TriedRow, count, ordered, standing
from mlopt.results.figures import Fidelity
from mlopt.results.report import Report, Tried

SHOWN = 40
"""As many are listed and drawn on a page."""
FIRST = 5
"""As many are not folded."""
_MOST_PARTS, _NAME_LENGTH, _REASON_LENGTH = 6, 60, 400


def rows(report: Report, most: int = SHOWN) -> tuple[TriedRow, ...]:
    """Return what is shipped, then what is valid by latency, then the others, at most so many."""
    return tuple(_row(number, one, report) for number, one in enumerate(ordered(report)[:most], start=1))


def left_out(report: Report, most: int = SHOWN) -> str:
    """Say how many are not listed; empty if all are."""
    more = len(report.tried) - most
    return f"and {more:,} more in report.json" if more > 0 else ""


def sheet(report: Report, listed: Sequence[TriedRow]) -> tuple[tuple[str, str], ...]:
    """Return what was chosen among how many, and what that took, as ``(label, text)``."""
    shipped = next((row for row in listed if row.standing == "shipped"), None)
    place = "" if shipped is None else f"{shipped.form}, in {shipped.runtime} {shipped.options}".rstrip()
    found = (("Looked at", count(report)), ("Shipped", place), ("Time", spent(report)))
    return tuple((label, text) for label, text in found if text)


def spent(report: Report) -> str:
    """Say how long choosing took, and on what; empty where the report does not tell."""
    if not report.spent:
        return ""
    most = sorted(report.spent.items(), key=lambda item: -item[1])[:_MOST_PARTS]
    parts = ", ".join(f"{plain(what)} {facts.number(seconds)} s" for what, seconds in most)
    return f"{facts.number(sum(report.spent.values()))} s went into choosing ({parts})"


def has_scores(listed: Sequence[TriedRow]) -> bool:
    """Whether any of them was scored by the recipe's metric."""
    return any(row.accuracy for row in listed)


def _row(number: int, one: Tried, report: Report) -> TriedRow:
    return TriedRow(
        number=number,
        one=one,
        standing=standing(one),
        form=facts.shorten(one.model, _NAME_LENGTH),
        runtime=facts.shorten(one.runtime, _NAME_LENGTH),
        options=", ".join(beyond_defaults(one, report)),
        latency="" if one.latency_ms is None else facts.ms(one.latency_ms),
        speedup="" if one.speedup is None else facts.ratio(one.speedup),
        interval="" if one.ci95 is None else facts.between(one.ci95, facts.ratio),
        cosine="" if one.fidelity is None else f"{one.fidelity.cosine:.6f}",
        sqnr="" if one.fidelity is None else _sqnr(one.fidelity),
        accuracy="" if one.accuracy is None else facts.score(one.accuracy),
        why_not=facts.shorten(one.why_not or "", _REASON_LENGTH),
    )


def _sqnr(fidelity: Fidelity) -> str:
    return "equal" if fidelity.sqnr_db is None else f"{fidelity.sqnr_db:.1f} dB"
