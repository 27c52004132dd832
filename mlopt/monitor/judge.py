"""From two documents of sketches to a verdict: pass, fail, or inconclusive where so few rows would show too little."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mlopt.core.foreign_text import plain
from mlopt.monitor import chance, quality
from mlopt.monitor.chance import ChanceLimits
from mlopt.monitor.compare import ComparedPair, is_comparable, pairs
from mlopt.results.section import Verdict
from mlopt.sketches import Sketches

SMALLEST_SHIFT = 0.2
"""A shift that must be seen for a pass to mean anything: that of a normal distribution which moves by half its
deviation."""


@dataclass(frozen=True)
class MonitorFinding:
    """One thing that was looked at."""

    side: str
    tensor: str
    part: str
    what: str
    """``shift``, ``psi``, or what was counted."""
    value: float
    """A shift, a PSI, or a share of rows."""
    limit: float | None
    """What chance alone does not exceed; of counts there is none, but ``chance``."""
    verdict: Verdict
    message: str
    chance: float | None = None


@dataclass(frozen=True)
class Monitored:
    """The result."""

    verdict: Verdict
    reference_rows: int
    live_rows: int
    offered: int
    """Live rows that there were, sketched or not."""
    findings: tuple[MonitorFinding, ...]
    """What is wrong first."""
    notes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """Return everything for machines."""
        return {"schema": "mlopt.monitor/v1", **asdict(self)}


def judge(reference: Sketches, live: Sketches, *, ranges: bool = True) -> Monitored:
    """Hold live sketches against the reference's; ``ranges`` as of ``quality.counts``.

    A look at unchanged data fails in 1 of 5,000 cases: one in 10,000 each for distributions and for counts. A reference
    is looked at again and again, and one that is itself a rare sample raises several of them.
    """
    compared = list(pairs(reference, live))
    found = [
        *_absent(reference, live),
        *(one for pair, limits in zip(compared, chance.limits(compared), strict=True) for one in _drift(pair, limits)),
        *_quality(reference, live, ranges=ranges),
    ]
    order = {"fail": 0, "inconclusive": 1, "pass": 2}
    found.sort(key=lambda one: (order[one.verdict], -(one.value / one.limit if one.limit else 0.0)))
    return Monitored(
        _overall(found), reference_rows=reference.rows, live_rows=live.rows, offered=live.offered,
        findings=tuple(found), notes=tuple(_notes(reference, live)),
    )  # fmt: skip


def _overall(found: Sequence[MonitorFinding]) -> Verdict:
    verdicts = {one.verdict for one in found}
    if "fail" in verdicts:
        return "fail"
    return "pass" if verdicts == {"pass"} else "inconclusive"


def _drift(pair: ComparedPair, limits: ChanceLimits) -> Iterator[MonitorFinding]:
    rows = f"{pair.live.rows:,} rows against {pair.reference.rows:,}"
    blind = pair.ordered and limits.shift > SMALLEST_SHIFT
    figures = [("psi", pair.psi, limits.psi)]
    if pair.ordered:
        figures.insert(0, ("shift", pair.shift, limits.shift))
    for what, value, limit in figures:
        verdict: Verdict = "fail" if value > limit else "inconclusive" if blind else "pass"
        yield MonitorFinding(
            pair.side, pair.tensor, pair.part, what, value=value, limit=limit, verdict=verdict,
            message=_said(pair, verdict, rows),
        )  # fmt: skip


def _said(pair: ComparedPair, verdict: Verdict, rows: str) -> str:
    if verdict == "inconclusive":
        return f"{rows}: so few that a shift of {SMALLEST_SHIFT:g} would not show"
    if verdict == "pass":
        return f"no more than chance explains, {rows}"
    if not pair.ordered:
        return f"classes are predicted in other shares, {rows}"
    before, now = (", ".join(f"{each:.4g}" for each in side.quantiles) for side in (pair.reference, pair.live))
    return f"quantiles at 5, 50, 95 % were {before} and are {now}; {rows}"


def _quality(reference: Sketches, live: Sketches, *, ranges: bool) -> Iterator[MonitorFinding]:
    found = quality.counts(reference, live, ranges=ranges)
    for one, wrong in zip(found, quality.unlikely(found), strict=True):
        if not one.live and not one.reference:
            continue
        where = {"below": "less than anything in the reference", "above": "more than anything in the reference"}
        told = where.get(one.what, f"{one.what}, where {one.reference:,} of {one.reference_rows:,} had it before")
        message = f"{one.live:,} of {one.live_rows:,} rows have {told}; by chance {one.chance:.2g}"
        yield MonitorFinding(
            one.side, one.tensor, one.part, one.what, value=one.live / one.live_rows, limit=None,
            verdict="fail" if wrong else "pass", message=message, chance=one.chance,
        )  # fmt: skip


def _absent(reference: Sketches, live: Sketches) -> Iterator[MonitorFinding]:
    """Yield what cannot be compared: nothing is known of it, so no pass can be given."""
    there = {(one.side, one.name): one for one in live.tensors}
    for tensor in reference.tensors:
        other = there.get((tensor.side, tensor.name))
        if other is None or not other.rows:
            what = "there are no live rows of it"
        elif not is_comparable(tensor, other):
            what = "the live sketches have another form; a server makes them like those of its artifact"
        else:
            continue
        yield MonitorFinding(
            tensor.side, tensor.name, "", "missing", value=0.0, limit=None, verdict="inconclusive", message=what
        )


def _notes(reference: Sketches, live: Sketches) -> Iterator[str]:
    if live.offered > live.rows:
        yield f"{live.rows:,} of {live.offered:,} live rows were sketched, {live.rows / live.offered:.1%}"
    yield from (plain(f"not sketched: {each}") for each in reference.left_out)
