"""How many rows are joined, how long they wait, how many may wait: derived from what the artifact's report measured.

Pure. What the user states goes before; what no figure supports is said to be so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mlopt.results.figures import Latency, SweepPoint
from mlopt.results.report import Report

_ENOUGH = 0.95
"""Of the best throughput in a sweep: the smallest batch that comes to it is taken, a larger one only takes longer."""
_UNMEASURED_BATCH = 8
_DELAY_SHARE, _MOST_DELAY_S = 0.5, 0.01
_DEADLINES = 100
"""A deadline is so many times as long as a slow inference of a whole batch, within these bounds, in seconds."""
_SHORTEST_S, _LONGEST_S = 1.0, 60.0
_MOST_ROWS = 100_000


@dataclass(frozen=True)
class LaneLimits:
    """What bounds the requests of one open model; times in seconds."""

    max_batch: int
    """Rows in one execution of joined requests."""
    max_delay_s: float
    """How long a request waits for others to be joined with."""
    queue_rows: int
    """Rows that may wait."""
    deadline_s: float
    """For requests that state none of their own."""


@dataclass(frozen=True)
class AskedLimits:
    """What the user states of them; None is derived."""

    max_batch: int | None = None
    max_delay_ms: float | None = None
    queue_rows: int | None = None
    deadline_ms: float | None = None


@dataclass(frozen=True)
class DerivedLimits:
    """Limits, each with the reason for it."""

    limits: LaneLimits
    why: tuple[str, ...]


def derive(report: Report, asked: AskedLimits, joins: bool) -> DerivedLimits:
    """Return the limits for a model; ``joins`` says whether requests of it can be joined."""
    points = _points(report)
    batch, about_batch = _batch(points, asked.max_batch, joins)
    measured = next((point for point in points if point.batch_size == batch), None)
    delay, about_delay = _delay(report, points, asked.max_delay_ms, batch)
    slow_ms, rate = _pace(report, measured, batch, joins)
    deadline, about_deadline = _deadline(slow_ms, asked.deadline_ms)
    queue, about_queue = _queue(rate, deadline, batch, asked.queue_rows)
    return DerivedLimits(
        LaneLimits(batch, delay, queue, deadline), (about_batch, about_delay, about_deadline, about_queue)
    )


def _points(report: Report) -> list[SweepPoint]:
    """Return the sweep of the shipped model by batch size: as it is opened, one client at a time."""
    threads = report.final.options.get("threads")
    found = [
        point for point in report.sweep
        if point.name == report.final.name and point.concurrency == 1 and threads in (None, point.threads)
    ]  # fmt: skip
    return sorted(found, key=lambda point: point.batch_size)


def _batch(points: Sequence[SweepPoint], asked: int | None, joins: bool) -> tuple[int, str]:
    if not joins:
        return 1, "max batch  1: requests run one at a time"
    if asked is not None:
        return asked, f"max batch  {asked} rows, as stated"
    if not points:
        return _UNMEASURED_BATCH, f"max batch  {_UNMEASURED_BATCH} rows: not measured, as the report has no sweep"
    best = max(point.throughput_per_s for point in points)
    chosen = next(point for point in points if point.throughput_per_s >= _ENOUGH * best)
    told = f"{_figure(chosen.throughput_per_s)} rows/s, of at best {_figure(best)} in the sweep"
    return chosen.batch_size, f"max batch  {chosen.batch_size} rows: {told}"


def _delay(report: Report, points: Sequence[SweepPoint], asked: float | None, batch: int) -> tuple[float, str]:
    if asked is not None:
        return asked / 1000, f"max delay  {asked:g} ms, as stated"
    if batch == 1:
        return 0.0, "max delay  0 ms: there is nothing to wait for"
    if not points:
        return 0.0, "max delay  0 ms: what waits already is joined; no sweep says that waiting for more is worth it"
    one = report.final.latency_ms.p50 or report.final.latency_ms.mean
    delay = round(min(_DELAY_SHARE * one / 1000, _MOST_DELAY_S), 5)
    return delay, f"max delay  {delay * 1000:g} ms: half of an inference, which takes {one:.3g} ms"


def _deadline(slow_ms: float, asked: float | None) -> tuple[float, str]:
    if asked is not None:
        return asked / 1000, f"deadline   {asked:g} ms, as stated"
    deadline = float(math.ceil(min(max(_DEADLINES * slow_ms / 1000, _SHORTEST_S), _LONGEST_S)))
    return deadline, f"deadline   {deadline:g} s: {_DEADLINES} slow inferences of {slow_ms:.3g} ms, 1 s to 60 s"


def _queue(rate: float, deadline: float, batch: int, asked: int | None) -> tuple[int, str]:
    if asked is not None:
        return asked, f"queue      {asked:,} rows, as stated"
    rows = min(max(math.floor(rate * deadline / 2), 4 * batch), _MOST_ROWS)
    return rows, f"queue      {rows:,} rows: half a deadline's work at the measured {_figure(rate)} rows/s"


def _pace(report: Report, measured: SweepPoint | None, batch: int, joins: bool) -> tuple[float, float]:
    """Return how long a slow run takes, in milliseconds, and how many rows a second are done.

    Where requests are not joined, each counts as one row. A batch that nobody measured may take as long as its rows.
    """
    final, size = report.final, report.final.batch_size or 1
    if not joins:
        return _slow(final.latency_ms), final.throughput_per_s / size
    if measured is None:
        return _slow(final.latency_ms) * max(1.0, batch / size), final.throughput_per_s
    return _slow(measured.latency_ms), measured.throughput_per_s


def _figure(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def _slow(latency: Latency) -> float:
    """Return the highest percentile up to p99 that there are samples for, in milliseconds."""
    return next((each for each in (latency.p99, latency.p95, latency.p90, latency.p50) if each), latency.mean)
