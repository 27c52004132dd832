"""How far each deployable came that was looked at, and which of them nobody need be sorry not to have shipped."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from mlopt.results.report import Report, Tried

Standing = Literal["shipped", "valid", "not judged", "not valid"]

ROLE: dict[Standing, str] = {"shipped": "good", "valid": "quiet", "not judged": "warn", "not valid": "bad"}
"""The role of each standing's colour."""
_ORDER = tuple(ROLE)


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


def standing(one: Tried) -> Standing:
    """Return how far it came."""
    if one.why_not is None:
        return "shipped"
    if one.valid is None:
        return "not judged"
    return "valid" if one.valid else "not valid"


def ordered(report: Report) -> list[Tried]:
    """Return what is shipped, then what is valid by latency, then the others."""
    return sorted(report.tried, key=lambda one: (_ORDER.index(standing(one)), one.latency_ms is None, _ms(one)))


def front(listed: Iterable[TriedRow]) -> tuple[TriedRow, ...]:
    """Return those valid ones than which no valid one is both as fast and as true to the source, the fastest first."""
    valid = [row for row in listed if row.standing in ("shipped", "valid") and row.one.latency_ms is not None]
    found: list[TriedRow] = []
    for row in sorted(valid, key=lambda row: (_ms(row.one), -_cosine(row.one))):
        if row.one.fidelity is not None and (not found or _cosine(row.one) > _cosine(found[-1].one)):
            found.append(row)
    return tuple(found)


def count(report: Report) -> str:
    """Say how many were looked at, and how many of them may be shipped."""
    every = [standing(one) for one in report.tried]
    valid = sum(one in ("shipped", "valid") for one in every)
    return f"{len(every):,} deployable{'' if len(every) == 1 else 's'}, of which {valid:,} may be shipped"


def _ms(one: Tried) -> float:
    return one.latency_ms or 0.0


def _cosine(one: Tried) -> float:
    return one.fidelity.cosine if one.fidelity is not None else 0.0
