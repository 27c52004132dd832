"""Every deployable that was looked at, as pages and console list it: what is shipped, and why the others are not.

A report of a stranger may hold thousands, so each rendering shows the first of them and counts the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from mlopt.core.foreign_text import plain
from mlopt.report import facts
from mlopt.report.options import beyond_defaults
from mlopt.results.figures import Fidelity
from mlopt.results.report import Report, Tried

Standing = Literal["shipped", "valid", "not judged", "not valid"]

SHOWN = 40
"""As many are listed and drawn on a page."""
ROLE: dict[Standing, str] = {"shipped": "good", "valid": "quiet", "not judged": "warn", "not valid": "bad"}
"""The role of each standing's colour."""
_MOST_PARTS, _NAME_LENGTH, _REASON_LENGTH = 6, 60, 400
_ORDER: tuple[Standing, ...] = ("shipped", "valid", "not judged", "not valid")


@dataclass(frozen=True)
class TriedRow:
    """One of them, with its number in the list and its cells as text; a cell is empty where nothing was measured."""

    number: int
    one: Tried
    standing: Standing
    form: str
    runtime: str
    options: str
    latency: str
    speedup: str
    interval: str
    cosine: str
    sqnr: str
    accuracy: str
    why_not: str


def rows(report: Report, most: int = SHOWN) -> tuple[TriedRow, ...]:
    """Return what is shipped, then what is valid by latency, then the others, at most so many."""
    ordered = sorted(report.tried, key=lambda one: (_ORDER.index(standing(one)), one.latency_ms is None, _ms(one)))
    return tuple(_row(number, one, report) for number, one in enumerate(ordered[:most], start=1))


def standing(one: Tried) -> Standing:
    """Return how far it came."""
    if one.why_not is None:
        return "shipped"
    return {True: "valid", False: "not valid", None: "not judged"}[one.valid]  # type: ignore[return-value]


def left_out(report: Report, most: int = SHOWN) -> str:
    """Say how many are not listed; empty if all are."""
    more = len(report.tried) - most
    return f"and {more:,} more in report.json" if more > 0 else ""


def front(listed: Iterable[TriedRow]) -> tuple[TriedRow, ...]:
    """Return those valid ones than which no valid one is both as fast and as true to the source, the fastest first."""
    valid = [row for row in listed if row.standing in ("shipped", "valid") and row.one.latency_ms is not None]
    found: list[TriedRow] = []
    for row in sorted(valid, key=lambda row: (_ms(row.one), -_cosine(row.one))):
        if row.one.fidelity is not None and (not found or _cosine(row.one) > _cosine(found[-1].one)):
            found.append(row)
    return tuple(found)


def spent(report: Report) -> str:
    """Say how long choosing took, and on what; empty where the report does not tell."""
    if not report.spent:
        return ""
    most = sorted(report.spent.items(), key=lambda item: -item[1])[:_MOST_PARTS]
    parts = ", ".join(f"{plain(what)} {facts.number(seconds)} s" for what, seconds in most)
    return f"{facts.number(sum(report.spent.values()))} s went into choosing ({parts})"


def sheet(report: Report, listed: Sequence[TriedRow]) -> tuple[tuple[str, str], ...]:
    """Return what was chosen among how many, and what that took, as ``(label, text)``."""
    shipped = next((row for row in listed if row.standing == "shipped"), None)
    place = "" if shipped is None else f"{shipped.form}, in {shipped.runtime} {shipped.options}".rstrip()
    found = (("Looked at", count(report)), ("Shipped", place), ("Time", spent(report)))
    return tuple((label, text) for label, text in found if text)


def count(report: Report) -> str:
    """Say how many were looked at, and how many of them may be shipped."""
    every = [standing(one) for one in report.tried]
    valid = sum(one in ("shipped", "valid") for one in every)
    return f"{len(every):,} deployable{'' if len(every) == 1 else 's'}, of which {valid:,} may be shipped"


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


def _ms(one: Tried) -> float:
    return one.latency_ms or 0.0


def _cosine(one: Tried) -> float:
    return one.fidelity.cosine if one.fidelity is not None else 0.0
