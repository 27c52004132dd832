"""What a study came to, in sentences and figures: the headline, how many trials came how far, and why it ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mlopt.core.foreign_text import plain
from mlopt.report import facts
from mlopt.report.facts import Figure
from mlopt.report.study import rows
from mlopt.report.study.rows import duration
from mlopt.results.study import StudyRecord, TrialRecord

WHY = {
    "budget": "its time was spent",
    "converged": "the front had not moved for long",
    "exhausted": "every point of the space was tried",
    "trials": "as many trials were made as were asked for",
    "interrupted": "it was interrupted",
}
_ORIGINS = ("recipe", "prior", "earlier study", "search")


def told(record: StudyRecord) -> list[str]:
    """Return the lines of a terminal's summary: the best, what it is worth, the front, the trials, the end."""
    best = rows.best_trial(record)
    lines = [headline(record)]
    if best is not None:
        lines.append(f"best   trial {best.number}: {_point(best, record)}")
        lines.append("       " + ", ".join(filter(None, _figures(best, record))))
    front = f"{len(record.front):,} trial{_s(record.front)} that no other beats in latency, quality, size and memory"
    return [*lines, f"front  {front}", f"trials {trials(record)}", f"ended  {ended(record)}"]


def headline(record: StudyRecord) -> str:
    """Say in a sentence what came of it."""
    if record.best is None:
        return "No trial keeps the gates: there is nothing to ship."
    best = rows.best_trial(record)
    own = rows.recipe_trial(record)
    if own is not None and own.number == record.best:
        return "Nothing that was tried beats the recipe as it stands."
    name = f"Trial {record.best}" + (f" ({_point(best, record)})" if best is not None else "")
    if record.final_speedup is None:
        return f"{name} is the best; it was not measured against the recipe's own chain."
    if record.final_ci95 is not None and record.final_ci95[0] <= 1 <= record.final_ci95[1]:
        span = facts.between(record.final_ci95, facts.ratio)
        return f"{name} is the best, but its speed cannot be told from that of the recipe's own chain ({span})."
    return f"{name} is {facts.ratio(record.final_speedup)}{_span(record)} as fast as the recipe's own chain."


def role(record: StudyRecord) -> str:
    """Return the colour of the first figure: good only where the gain is beyond doubt."""
    low = record.final_ci95[0] if record.final_ci95 is not None else 0.0
    if record.best is None or (record.final_ci95 is not None and record.final_ci95[1] < 1):
        return "bad"
    return "good" if low > 1 else "quiet"


def top(record: StudyRecord) -> list[Figure]:
    """Return the figures that head the page: what is shipped beside the recipe's own chain."""
    best, own = rows.best_trial(record), rows.recipe_trial(record)
    gain = "not measured" if record.final_speedup is None else facts.ratio(record.final_speedup)
    span = "" if record.final_ci95 is None else f"{facts.between(record.final_ci95, facts.ratio)}, "
    found = [Figure("Against the recipe's own chain", gain, f"{span}one interleaved run at the end")]
    if best is None:
        return [Figure("Against the recipe's own chain", "nothing valid", "no trial keeps the gates")]
    kind = rows.measure(record)
    pairs = (
        ("Latency", *(_maybe(one, "latency_ms", facts.ms) for one in (best, own))),
        (rows.quality_name(record), *("" if one is None else rows.quality_text(one, kind) for one in (best, own))),
        ("Size", *(_maybe(one, "size_bytes", facts.size) for one in (best, own))),
    )
    return found + [Figure(name, its, f"the recipe's own {old}" if old else "") for name, its, old in pairs if its]


def _maybe(one: TrialRecord | None, key: str, text: Callable[[Any], str]) -> str:
    value = getattr(one, key, None)
    return "" if value is None else text(value)


def trials(record: StudyRecord) -> str:
    """Say how many came how far."""
    states: Counter[str] = Counter(one.status for one in record.trials)
    valid = sum(one.valid is True for one in record.trials)
    parts = [f"{states['measured']:,} measured ({valid:,} valid)"]
    parts += [f"{states[key]:,} {key}" for key in ("stopped", "failed") if states[key]]
    of = "" if record.points is None else f" of a space of {facts.counted(record.points)} points"
    return f"{len(record.trials):,}{of}: {', '.join(parts)}"


def ended(record: StudyRecord) -> str:
    """Say how long it took and why it ended."""
    budget = "" if record.budget_s is None else f" of {duration(record.budget_s)}"
    again = f", gone on with {record.ended.resumed:,} time{_s(record.ended.resumed)}" if record.ended.resumed else ""
    return f"after {duration(record.ended.seconds)}{budget}, as {WHY[record.ended.why]}{again}"


def end_sentence(record: StudyRecord) -> str:
    """Say how much was tried and why the search ended, as two sentences."""
    return f"Tried were {trials(record)}. The search ended {ended(record)}."


def front_sentence(record: StudyRecord) -> str:
    """Say what the front is a choice of."""
    if not record.front:
        return "No trial was both measured and valid, so there is no front."
    if len(record.front) == 1:
        return "One valid trial is as good as any other in latency, quality, size and memory at once."
    count = len(record.front)
    return f"{count:,} valid trials are beaten by none in latency, quality, size and memory at once: each is a trade."


def sheet(record: StudyRecord) -> list[tuple[str, str]]:
    """Return the account of the search as ``(label, text)``."""
    origins = Counter(one.origin for one in record.trials)
    nodes = Counter(one.node for one in record.trials)
    found = [("Trials", trials(record)), ("Ended", ended(record)), ("Proposed by", _counts(origins))]
    if len(nodes) > 1:
        found.append(("Machines", _counts(nodes)))
    return [*found, ("Space", f"{len(record.space):,} settings"), ("Seed", str(record.seed))]


def _counts(counted: Counter[str]) -> str:
    order = sorted(counted, key=lambda one: (_ORIGINS.index(one) if one in _ORIGINS else 9, -counted[one], one))
    more = len(order) - 8
    shown = [f"{facts.shorten(one, 40)} {counted[one]:,}" for one in order[:8]]
    return ", ".join([*shown, *([f"{more:,} more"] if more > 0 else [])])


def _figures(best: TrialRecord, record: StudyRecord) -> Iterable[str]:
    yield _maybe(best, "latency_ms", facts.ms)
    good = rows.quality_text(best, rows.measure(record))
    yield f"{rows.quality_name(record)} {good}" if good else ""
    yield _maybe(best, "size_bytes", facts.size)
    yield f"{facts.shorten(best.runtime, 40)}" if best.runtime else ""


def _point(one: TrialRecord, record: StudyRecord) -> str:
    return plain(rows.point(one, {each.name: each.default for each in record.space}))


def _span(record: StudyRecord) -> str:
    return "" if record.final_ci95 is None else f" ({facts.between(record.final_ci95, facts.ratio)})"


def _s(count: int | Sequence[object]) -> str:
    return "" if (count if isinstance(count, int) else len(count)) == 1 else "s"
