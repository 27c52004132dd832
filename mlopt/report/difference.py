"""Two reports side by side, figure by figure: what ``mlopt diff`` shows.

Nothing is called better or worse that cannot be compared, or that chance alone explains.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from mlopt.core.foreign_text import plain
from mlopt.report import control
from mlopt.report.change import (
    Change,
    accuracy_change,
    environment_differences,
    other_data,
    other_environment,
    other_reference,
    other_work,
    rss_change,
    size_change,
    speedup_change,
)
from mlopt.report.estimate import over
from mlopt.report.options import in_words
from mlopt.results.figures import Latency
from mlopt.results.report import Report
from mlopt.results.section import Interval

Moved = Literal["better", "worse", "same", "unknown"]

_LATENCIES = {
    "p50": "latency.p50_ms", "p90": "latency.p90_ms", "p95": "latency.p95_ms", "p99": "latency.p99_ms",
    "mean": "latency.mean_ms",
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One figure of two reports. ``same`` means no measurable difference, ``unknown`` that they cannot be compared."""

    metric: str
    unit: str
    old: float | None
    new: float | None
    change: str
    """Such as ``0.870x`` or ``+0.30 pt``; empty where there is none."""
    interval: Interval | None
    """Of the change: of the ratio, or of the difference in points."""
    verdict: Moved
    reason: str


@dataclass(frozen=True)
class ReportDifference:
    """All that two reports have in common, figure by figure."""

    environment: tuple[str, ...]
    """What differs in hardware and versions; empty if nothing does."""
    rows: tuple[Row, ...]
    shipped: tuple[str, ...] = ()
    """What differs in what is shipped, beside its figures: its runtime, its form, and among how many it was chosen."""


def compare(old: Report, new: Report) -> ReportDifference:
    """Compare two reports figure by figure, at 95 %; nothing is called better or worse that cannot be compared."""
    rows = (*_speed_rows(old, new), *_memory_rows(old, new), *_quality_rows(old, new))
    return ReportDifference(environment_differences(old.environment, new.environment), rows, _shipped(old, new))


def _shipped(old: Report, new: Report) -> tuple[str, ...]:
    """Say in which runtime, form and company the two are shipped, where that differs; a report may tell neither."""
    pairs = [
        ("what is shipped runs in", in_words(old.final, old), in_words(new.final, new)),
        ("its form", _form(old), _form(new)),
        ("it was chosen among", *(f"{len(one.tried):,} deployables" if one.tried else "" for one in (old, new))),
    ]
    return tuple(f"{what}: was {was}, is {now}" for what, was, now in pairs if was and now and was != now)


def _form(report: Report) -> str:
    return next((plain(one.model) for one in report.tried if one.why_not is None), "")


def _speed_rows(old: Report, new: Report) -> Iterator[Row]:
    doubt = control.doubt(old.speedup, "the old run") or control.doubt(new.speedup, "the new run")
    change = Change(None, reason=doubt) if doubt else speedup_change(old, new)
    yield _ratio("speedup.median", "x", old.speedup.median, new.speedup.median, change, less_is_better=False)
    doubt = other_environment(old, new) or other_work(old.final, new.final) or _machine_state(old, new)
    before, now = old.final, new.final
    for key, name in _LATENCIES.items():
        was, found = getattr(before.latency_ms, key), getattr(now.latency_ms, key)
        if was is not None and found is not None:
            change = Change(None, reason=doubt) if doubt else _latency_ratio(before.latency_ms, now.latency_ms, key)
            yield _ratio(name, "ms", was, found, change)
    change = Change(None, reason=doubt) if doubt else _latency_ratio(before.latency_ms, now.latency_ms, "mean", -1)
    yield _ratio("throughput_per_s", "/s", before.throughput_per_s, now.throughput_per_s, change, less_is_better=False)
    if before.cold_start and now.cold_start:
        once = Change(None, reason=other_environment(old, new) or "it was measured once in each run")
        for key in ("load_ms", "first_ms"):
            yield _ratio(f"cold_start.{key}", "ms", getattr(before.cold_start, key), getattr(now.cold_start, key), once)


def _memory_rows(old: Report, new: Report) -> Iterator[Row]:
    before, now = old.final, new.final
    yield _ratio("size_mb", "MB", before.size_bytes / 1e6, now.size_bytes / 1e6, size_change(before, now))
    change = rss_change(old, new)
    if change.value is not None and (reason := other_reference(old, new)) is not None:
        change = Change(None, reason=f"nothing tells how much memory moves by chance: {reason}")
    elif change.value is not None:
        spread = abs(math.log(max(new.baseline.peak_rss_bytes, 1) / max(old.baseline.peak_rss_bytes, 1)))
        change = replace(change, interval=(change.value / math.exp(spread), change.value * math.exp(spread)))
    yield _ratio("peak_rss_mb", "MB", before.peak_rss_bytes / 1e6, now.peak_rss_bytes / 1e6, change)


def _quality_rows(old: Report, new: Report) -> Iterator[Row]:
    before, now = old.final, new.final
    if before.accuracy and now.accuracy:
        change = accuracy_change(old, new)
        if change.value is not None:  # what was lost, as what was won
            low, high = change.interval or (change.value, change.value)
            change = Change(0.0 - change.value, (-high, -low) if change.interval else None)
        yield _points("accuracy.value", before.accuracy.value, now.accuracy.value, change)
    if before.fidelity and now.fidelity:
        reason = other_data(old, new)
        gain = 100 * (now.fidelity.cosine - before.fidelity.cosine)
        change = Change(None, reason=reason) if reason else Change(gain)
        yield _points("fidelity.cosine", before.fidelity.cosine, now.fidelity.cosine, change)


def _ratio(metric: str, unit: str, old: float, new: float, change: Change, *, less_is_better: bool = True) -> Row:
    """Judge a ratio: better or worse where its whole interval lies on one side of 1."""
    text = f"{change.value:.3f}x" if change.value is not None else f"{new / old:.3f}x" if old > 0 else ""
    moved, reason = _moved(change, 1.0, -1 if less_is_better else 1)
    return Row(metric, unit, old, new, change=text, interval=change.interval, verdict=moved, reason=reason)


def _points(metric: str, old: float, new: float, change: Change) -> Row:
    """Judge a gain in points (x 100): more is better."""
    moved, reason = _moved(change, 0.0, 1)
    told = f"{100 * (new - old):+.2f} pt"
    return Row(metric, "", old, new, change=told, interval=change.interval, verdict=moved, reason=reason)


def _moved(change: Change, still: float, better: int) -> tuple[Moved, str]:
    if change.value is None:
        return "unknown", change.reason or ""
    low, high = change.interval or (change.value, change.value)
    if low > still and not math.isclose(low, still, abs_tol=1e-9):
        return ("better" if better > 0 else "worse"), ""
    if high < still and not math.isclose(high, still, abs_tol=1e-9):
        return ("worse" if better > 0 else "better"), ""
    return "same", "no measurable difference" if change.interval else ""


def _latency_ratio(old: Latency, new: Latency, key: str, sign: int = 1) -> Change:
    """Return new / old, or the inverse of it for a ``sign`` of -1."""
    if key not in old.ci95 or key not in new.ci95:
        return Change(None, reason="a report gives no interval")
    pair = (getattr(new, key), new.ci95[key]), (getattr(old, key), old.ci95[key])
    found = over(*pair[::sign])
    return Change(*found) if found else Change(None, reason="a latency is not a positive number")


def _machine_state(old: Report, new: Report) -> str | None:
    """Return why the machine cannot be taken to have been equally fast in both runs."""
    if (reason := other_reference(old, new)) is not None:
        return reason
    change = _latency_ratio(old.baseline.latency_ms, new.baseline.latency_ms, "p50")
    if change.value is None or change.interval is None:
        return f"{new.baseline.name}: {change.reason}"
    if change.interval[0] <= 1 <= change.interval[1]:
        return None
    cause = "the machine was in another state" if _same_samples(old, new) else "it was measured on other samples"
    return (
        f"{new.baseline.name}, the same model in both, took {change.value:.2f} times as long: "
        f"{cause}; the speedup is free of that"
    )


def _same_samples(old: Report, new: Report) -> bool:
    """Whether both runs timed the models on the same samples, as far as they tell."""
    one, other = (report.data.get("evaluation", {}).get("digest") for report in (old, new))
    return one == other
