"""What a study's trials come to: which of them no other beats, and what each pass of the best is worth.

Pure: what is not known of a trial is never taken for good, and neither order nor repetition of trials changes a result.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from mlopt.results.study import TrialRecord, Worth

Quality = Literal["accuracy", "fidelity"]
PASSES = "passes."
_UNKNOWN = math.inf


def front(trials: Iterable[TrialRecord]) -> tuple[int, ...]:
    """Return the numbers of the valid trials that none beats, the fastest first.

    One beats another that is at least as good in latency, quality (``judged_by``), size and memory, and better in one;
    what is not known counts as worse than anything known. Of trials with equal figures all are on the front.
    """
    valid = [one for one in trials if is_candidate(one)]
    kind = judged_by(valid)
    points = {one.number: _costs(one, kind) for one in valid}
    kept = [number for number, costs in points.items() if not any(beats(other, costs) for other in points.values())]
    return tuple(sorted(kept, key=lambda number: (points[number], number)))


def is_candidate(trial: TrialRecord) -> bool:
    """Whether it could be shipped: it was raced, and keeps the gates."""
    return trial.status == "measured" and trial.valid is True and trial.latency_ms is not None


def judged_by(trials: Iterable[TrialRecord]) -> Quality:
    """Return which figure of quality these trials are compared by: the recipe's metric if any of them has it."""
    return "accuracy" if any(one.accuracy is not None for one in trials) else "fidelity"


def quality(trial: TrialRecord, kind: Quality) -> float | None:
    """Return the metric, or the cosine to the source model; higher is better."""
    if kind == "accuracy":
        return trial.accuracy.value if trial.accuracy is not None else None
    return trial.fidelity.cosine if trial.fidelity is not None else None


def beats(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether costs are nowhere higher and somewhere lower."""
    return all(a <= b for a, b in zip(one, other, strict=True)) and tuple(one) != tuple(other)


def _costs(trial: TrialRecord, kind: Quality) -> tuple[float, ...]:
    good = quality(trial, kind)
    found = (trial.latency_ms, None if good is None else -good, trial.size_bytes, trial.peak_rss_bytes)
    return tuple(_UNKNOWN if one is None else float(one) for one in found)


def worth(trials: Iterable[TrialRecord], best: int | None) -> tuple[Worth, ...]:
    """Return for each step of the best trial's chain the fastest valid trial that is alike but for it.

    Alike are two points that agree wherever both say something, the step's own settings aside. The ratio is that of
    the two latencies, each taken in its own race; where one is missing, that of the speedups against the baseline.
    """
    trials = sorted(trials, key=lambda one: one.number)
    shipped = next((one for one in trials if one.number == best), None)
    if shipped is None:
        return ()
    return tuple(_worth(name, shipped, trials) for name in sorted(shipped.params) if _is_step(name, shipped))


def _is_step(name: str, trial: TrialRecord) -> bool:
    """Whether this parameter says that a step is there."""
    return trial.params[name] is True and name.startswith(PASSES) and "." not in name.removeprefix(PASSES)


def _worth(name: str, best: TrialRecord, trials: Iterable[TrialRecord]) -> Worth:
    alike = [one for one in trials if is_candidate(one) and _alike_but_for(name, one, best)]
    step = name.removeprefix(PASSES)
    if not alike:
        return Worth(step=step, without=None, speedup=None)
    found = min(alike, key=lambda one: (one.latency_ms or 0.0, one.number))
    return Worth(step=step, without=found.number, speedup=_ratio(best, found))


def _alike_but_for(name: str, one: TrialRecord, best: TrialRecord) -> bool:
    shared = [key for key in one.params.keys() & best.params.keys() if key != name and not key.startswith(f"{name}.")]
    return not one.params.get(name) and all(level(one.params[key]) == level(best.params[key]) for key in shared)


def level(value: Any) -> str:
    """Return a text that is the same for equal values: ``1``, ``1.0`` and ``true`` are three."""
    return json.dumps(value, sort_keys=True)


def _ratio(best: TrialRecord, other: TrialRecord) -> float | None:
    over, under = other.latency_ms, best.latency_ms
    if not over or not under:
        over, under = best.speedup, other.speedup
    ratio = over / under if over and under else 0.0
    return ratio if ratio > 0 and math.isfinite(ratio) else None
