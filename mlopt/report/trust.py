"""How far the figures of a report can be trusted, in words: how they were sampled, the A/A control, what a gate found.

Kept apart from ``facts`` because a reader asks it apart: first what was measured, then whether to believe it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from mlopt.report import control as control_of
from mlopt.report import facts
from mlopt.results.figures import Sampling, Speedup
from mlopt.results.report import GateVerdict, Report

VERDICT_ROLE = {"pass": "good", "fail": "bad", "inconclusive": "warn"}
_BUSY = 0.25
"""The noise floor from which a reader is warned: two copies of one model must not differ by a quarter."""
_LIMIT = re.compile(r"\s*(<=|>=)\s*([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[-+]?[0-9]+)?)(?![^ ])", re.IGNORECASE)
_DECIDED = "decided"
_SHORT = {_DECIDED: "decided", "time": "time spent", "looks": "undecided"}
_STOPPED = {
    _DECIDED: "every gate was decided",
    "time": "the time that max_time allows was spent",
    "looks": "the last look was taken, with a gate still undecided",
}


@dataclass(frozen=True)
class Mark:
    """A gate's verdict as a tag: its text, and the role of its colour."""

    text: str
    role: str


def mark(gate: GateVerdict) -> Mark:
    """Return the tag of a gate: what it counts as, and that it is undecided where the recipe decided for it."""
    if gate.found is None or gate.found == gate.verdict:
        return Mark(gate.verdict, VERDICT_ROLE[gate.verdict])
    role = "bad" if gate.verdict == "fail" else "warn"
    found = "undecided" if gate.found == "inconclusive" else gate.found
    return Mark(f"{found}, counts as {gate.verdict}", role)


def judged(gate: GateVerdict) -> tuple[str, str]:
    """Return the interval that was judged and its confidence as text, both empty where the figure has none."""
    interval, confidence = (gate.interval, gate.confidence) if gate.interval else (gate.ci95, 0.95)
    return (facts.between(interval, facts.exact), f"{100 * confidence:.4g} %") if interval else ("", "")


def limit(gate: GateVerdict) -> tuple[str, float] | None:
    """Return ``<=`` or ``>=``, and the number; None for what is no limit, since a report may come from anybody."""
    found = _LIMIT.match(gate.limit)
    if found is None or not math.isfinite(float(found[2])):
        return None
    return found[1], float(found[2])


def open_gates(report: Report) -> tuple[GateVerdict, ...]:
    """Return the gates that a reader must know of: not passed, or passed without the evidence."""
    return tuple(gate for gate in report.gates if gate.verdict != "pass" or gate.found not in (None, "pass"))


def warning(report: Report) -> str | None:
    """Return why the ratios of this run are worth nothing, or little; None where they are worth what they say."""
    rows = (report.speedup, *report.speedups.values())
    bad = max(filter(control_of.distrusted, rows), key=control_of.reach, default=None)
    if bad is None or bad.control is None:
        return _busy(max(one.noise_floor for one in rows))
    if control_of.slight(bad):
        said = (
            f"Two copies of one model came out {facts.between(bad.control, _ratio)} as fast as each other: the ratios "
            f"of this run may be off by {facts.percent(control_of.reach(bad) - 1, 1)}. Gates and claims allow for that."
        )
        return " ".join(filter(None, (said, _busy(max(one.noise_floor for one in rows)))))
    return (
        "The ratios of speed of this run are not to be trusted as they stand. Two copies of one model were measured "
        f"like the others, and their ratio came out as {facts.between(bad.control, _ratio)}, which excludes 1x: "
        "the machine changed while it measured. Gates and claims take them to be off by as much. "
        "Measure again on a quieter machine."
    )


def control(speedup: Speedup) -> str:
    """Return what the A/A control found."""
    floor = f"noise floor {facts.percent(speedup.noise_floor, 1)}"
    if speedup.control is None:
        return floor
    judgement = "excludes 1x, as two copies of one model must not" if control_of.distrusted(speedup) else "includes 1x"
    return f"{facts.between(speedup.control, _ratio)}, {judgement}; {floor}"


def sampling_line(report: Report) -> str | None:
    """Return in one line how the latencies were sampled; None in a report that does not say."""
    if report.sampling is None:
        return None
    one = report.sampling
    stopped = _SHORT[one.stopped] if report.gates else "no gates"
    count = f"{_count(one.rounds, 'round')}, {_count(one.looks, 'look')}, {stopped}"
    return f"{count}; noise floor {facts.percent(report.speedup.noise_floor, 1)}"


def sampling_rows(report: Report) -> tuple[tuple[str, str], ...]:
    """Return the same at length, as ``(label, text)``."""
    if report.sampling is None:
        return (("A/A control", control(report.speedup)),)
    one = report.sampling
    stopped = _STOPPED[one.stopped] if report.gates else "no gate asked for more"
    return (
        ("Rounds", f"{one.rounds}, each with two blocks of every model in the order ABBA"),
        ("Looks", _looks(one)),
        ("Stopped", f"{stopped}, after {duration(one.seconds)}"),
        ("A/A control", control(report.speedup)),
    )


def cold_start(report: Report) -> tuple[tuple[str, str], ...]:
    """Return ``(model, text)`` for each candidate whose cold start was measured."""
    return tuple(
        (one.name, f"load {facts.ms(one.cold_start.load_ms)}, first inference {facts.ms(one.cold_start.first_ms)}")
        for one in facts.models(report)
        if one.cold_start is not None
    )


def duration(seconds: float) -> str:
    """Return a span of wall time."""
    whole = round(seconds)
    return f"{facts.number(seconds)} s" if seconds < 60 else f"{whole // 60} min {whole % 60} s"


def _busy(noise_floor: float) -> str | None:
    if noise_floor <= _BUSY:
        return None
    return (
        f"This machine was busy: two copies of one model differed by up to {facts.percent(noise_floor, 0)}. "
        "Measure again on a quieter machine before you quote these figures."
    )


def _looks(one: Sampling) -> str:
    if one.looks_planned == 1:
        return "1, planned before the run"
    level = facts.percent(1 - 0.05 / one.looks_planned, 1)
    return f"{one.looks} of at most {one.looks_planned}; intervals are of {level}, to hold at 95 % over all looks"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _ratio(value: float) -> str:
    """Return a ratio with the digits to see on which side of 1 it lies."""
    return f"{value:.4f}x"
