"""How far a figure moved from one report to another, and whether the two may be compared at all.

Two runs see two states of a machine. Speeds are therefore compared through the reference that both runs measured, and
not at all where hardware, versions or that reference differ: then the difference is named instead of a number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from mlopt.measure import statistics
from mlopt.report.estimate import Estimate, exponential, logarithm, minus, over
from mlopt.results.figures import Accuracy
from mlopt.results.report import CandidateRecord, Environment, Report
from mlopt.results.section import Interval

ALPHA = 0.05
_WORK = ("threads", "device", "concurrency")
_MOST_LOOKS = 1000  # a report may come from anybody, and an error rate of 0 has no quantile
_MANY_ROUNDS = 1_000_000  # reports of mlopt 0.1 do not give theirs: the normal distribution stands for Student's


@dataclass(frozen=True)
class Change:
    """How a figure moved from the old report to the new one; ``value`` is None where ``reason`` forbids comparing."""

    value: float | None
    interval: Interval | None = None
    """None where the figure is exact."""
    reason: str | None = None
    fixed: float = 0.0
    """The half-width that is left however long the new run is: the old run's share."""


def environment_differences(old: Environment, new: Environment) -> tuple[str, ...]:
    """Return each difference of hardware or versions in words, such as ``CPU was Intel Xeon, is AMD EPYC``."""
    pairs = [
        ("CPU", old.cpu.model, new.cpu.model),
        ("cores", str(old.cpu.cores), str(new.cpu.cores)),
        ("instruction sets", " ".join(sorted(old.cpu.isa)), " ".join(sorted(new.cpu.isa))),
        ("GPU", old.gpu or "none", new.gpu or "none"),
        ("OS", old.os, new.os),
        ("Python", old.python, new.python),
        ("mlopt", old.mlopt, new.mlopt),
    ]
    pairs += [
        (name, old.packages.get(name, "not installed"), new.packages.get(name, "not installed"))
        for name in sorted({*old.packages, *new.packages})
    ]
    return tuple(f"{name} was {was}, is {now}" for name, was, now in pairs if was != now)


def speedup_change(old: Report, new: Report, confidence: float = 0.95) -> Change:
    """Return how many times faster the new final model is than the old one, by the reference that both runs share."""
    reason = _one_alone(old, new) or other_environment(old, new) or other_reference(old, new)
    if reason is not None:
        return Change(None, reason=reason)
    before, now = _speedup(old, confidence), _speedup(new, confidence)
    found = over(now, before) if before and now else None
    if found is None or before is None:
        return Change(None, reason="a speedup in one of the reports is not a positive number")
    fixed = max(before[1][1] / before[0], before[0] / before[1][0]) - 1
    return Change(*found, fixed=found[0] * fixed)


def accuracy_change(old: Report, new: Report, confidence: float = 0.95) -> Change:
    """Return the points that the metric lost from the old final model to the new, as if on samples of their own."""
    before, now = old.final.accuracy, new.final.accuracy
    if before is None or now is None:
        return Change(None, reason=f"the {'old' if before is None else 'new'} report has no accuracy")
    if before.metric != now.metric:
        return Change(None, reason=f"the metric was {before.metric}, is {now.metric}")
    if (reason := other_data(old, new)) is not None:
        return Change(None, reason=reason)
    if old.final.digest == new.final.digest and before.value == now.value:
        return Change(0.0)
    drop, interval = minus(accuracy_at(before, confidence), accuracy_at(now, confidence))
    return Change(100 * drop, (100 * interval[0], 100 * interval[1]))


def size_change(old: CandidateRecord, new: CandidateRecord) -> Change:
    """Return new size / old size: exact."""
    return _exact_ratio(old.size_bytes, new.size_bytes, "size")


def rss_change(old: Report, new: Report) -> Change:
    """Return the new final model's peak memory / the old one's; it depends on hardware, versions and load."""
    reason = other_environment(old, new) or other_work(old.final, new.final)
    if reason is not None:
        return Change(None, reason=reason)
    return _exact_ratio(old.final.peak_rss_bytes, new.final.peak_rss_bytes, "peak memory")


def accuracy_at(accuracy: Accuracy, confidence: float) -> Estimate:
    """Return the metric with its interval at ``confidence``: Wilson's again where the report's is, else rescaled."""
    value, n, alpha = accuracy.value, accuracy.n, 1 - confidence
    if math.isclose(alpha, ALPHA):
        return value, accuracy.ci95
    if n > 0 and 0 <= value <= 1 and _near(statistics.proportion_interval(round(value * n), n), accuracy.ci95):
        return value, statistics.proportion_interval(round(value * n), n, alpha)
    return value, statistics.rescaled(value, accuracy.ci95, n, ALPHA, alpha)


def looks(report: Report) -> int:
    """Return over how many looks at the samples the intervals of latency and speed hold together."""
    return min(report.sampling.looks_planned, _MOST_LOOKS) if report.sampling else 1


def is_alone(report: Report) -> bool:
    """Tell whether a report is of one model only: its speedup compares that model with itself."""
    return report.speedup.vs == report.final.name


def other_environment(old: Report, new: Report) -> str | None:
    """Return all that differs in hardware and versions."""
    return "; ".join(environment_differences(old.environment, new.environment)) or None


def other_reference(old: Report, new: Report) -> str | None:
    """Return why the two runs' references are not the same measurement."""
    before, now = old.baseline, new.baseline
    if before.digest != now.digest:
        return f"the reference {now.name} is another model: its digest was {before.digest[:12]}, is {now.digest[:12]}"
    difference = other_load(before, now)
    return f"the reference was measured otherwise: {difference}" if difference else None


def other_load(old: CandidateRecord, new: CandidateRecord) -> str | None:
    """Return what differs in how two models were run."""
    return _other(old, new, {"runtime": old.runtime, **old.options}, {"runtime": new.runtime, **new.options})


def other_work(old: CandidateRecord, new: CandidateRecord) -> str | None:
    """Return what differs in what was asked of two results; runtime and its options are part of a result."""
    before, now = ({key: one.options[key] for key in _WORK if key in one.options} for one in (old, new))
    return _other(old, new, before, now)


def _other(old: CandidateRecord, new: CandidateRecord, before: dict[str, Any], now: dict[str, Any]) -> str | None:
    if old.batch_size is not None and new.batch_size is not None:
        before["batch size"], now["batch size"] = old.batch_size, new.batch_size
    changed = [key for key in dict.fromkeys([*before, *now]) if before.get(key) != now.get(key)]
    return "; ".join(f"{key} was {before.get(key)}, is {now.get(key)}" for key in changed) or None


def other_data(old: Report, new: Report) -> str | None:
    """Return why the two final models' scores are not of the same samples."""
    before, now = (report.data.get("evaluation", {}).get("digest") for report in (old, new))
    if before is None or now is None:
        return "a report does not say on which samples its models were evaluated"
    return None if before == now else f"the evaluation data's digest was {str(before)[:12]}, is {str(now)[:12]}"


def _one_alone(old: Report, new: Report) -> str | None:
    alone = [name for name, report in (("old", old), ("new", new)) if is_alone(report)]
    return f"the {' and the '.join(alone)} report is of one model alone, which has no speedup" if alone else None


def _speedup(report: Report, confidence: float) -> Estimate | None:
    """Return the speedup with its interval at ``confidence``, rescaled in logarithms; None if it is not positive."""
    found = report.speedup
    if min(found.median, *found.ci95) <= 0:
        return None
    if math.isclose(1 - confidence, ALPHA):
        return found.median, found.ci95
    alpha = (1 - confidence) / looks(report)
    middle, interval = logarithm((found.median, found.ci95))
    rounds = report.sampling.rounds if report.sampling else _MANY_ROUNDS
    return exponential((middle, statistics.rescaled(middle, interval, rounds, ALPHA / looks(report), alpha)))


def _exact_ratio(old: int, new: int, what: str) -> Change:
    return Change(new / old) if old > 0 else Change(None, reason=f"the old {what} is not a positive number")


def _near(one: Interval, other: Interval) -> bool:
    return all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9) for a, b in zip(one, other, strict=True))
