"""The settings of a server, each derived from the evidence, with the reason that stands beside it in what is written.

Pure: a report in, figures out. Sweeps are a closed loop of one client at a time, so what a server does under load is an
estimate until `mlopt loadtest` has asked one; wherever that matters, the reason says so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from mlopt.core.errors import UserError
from mlopt.results.figures import Latency, SweepPoint
from mlopt.results.report import Report

PLANNED_SHARE = 0.7
"""Of the measured throughput: arrivals are not even, and instances share caches and memory."""
DRAIN_S = 5
"""Between not being ready and being ended: so long may others take to notice."""
_SLO_FACTOR = 10
_ENOUGH = 0.95
"""Of the best throughput: a larger batch for less than the rest is only slower."""
_MOST_WAITING = 10_000
_LEAST_REPLICAS = 2
_MIB = 1 << 20
_SLO = re.compile(r"p99=(\d{1,9}(?:\.\d{1,9})?)(ms|s)")


@dataclass(frozen=True)
class Derived:
    """A figure, and where it comes from, in one line."""

    value: float
    why: str

    def __str__(self) -> str:
        return f"{self.value:g}" if self.value < _MOST_WAITING else f"{self.value:.0f}"

    @property
    def whole(self) -> int:
        """The figure, rounded up."""
        return math.ceil(self.value - 1e-9)


@dataclass(frozen=True)
class Goal:
    """What is wanted of the service; None: not said."""

    p99_ms: float | None = None
    rate_per_s: float | None = None
    """Samples per second, all replicas together."""
    max_batch: int | None = None
    """Rows that requests are joined to at most, whatever was measured."""


@dataclass(frozen=True)
class ServingSettings:
    """How one model is served; rows are samples, times milliseconds where the name does not say otherwise."""

    slo_ms: Derived
    largest_batch: Derived
    delay_ms: Derived
    threads: Derived
    instances: Derived
    timeout_ms: Derived
    queue_rows: Derived
    rate_per_replica: Derived
    """Rows per second that are planned with; the autoscaling target."""
    replicas: Derived
    most_replicas: Derived
    memory_mib: Derived
    """Of all instances, without the engine's own."""
    memory_limit_mib: Derived
    start_s: Derived


def goal_of(slo: str | None, rate_per_s: float | None, max_batch: int | None = None) -> Goal:
    """Read ``p99=100ms``; raises ``UserError``."""
    if slo is None:
        return Goal(None, rate_per_s, max_batch)
    found = _SLO.fullmatch(slo.strip())
    if found is None or float(found[1]) <= 0:
        raise UserError("the SLO cannot be read", got=repr(slo[:40]), expected="p99=100ms, or p99=0.1s")
    return Goal(float(found[1]) * (1000 if found[2] == "s" else 1), rate_per_s, max_batch)


def derive(report: Report, *, threads: int, batches: bool, goal: Goal) -> ServingSettings:
    """Return the settings for a model that was measured with so many threads.

    ``batches``: whether samples of several requests can be joined. Raises nothing: what was not measured has a reason
    that says so.
    """
    slo = _slo(report, goal)
    load = _Load.of(report, threads, slo, batches=batches, stated=goal.max_batch)
    delay = _delay(load, slo)
    instances = _instances(report, threads)
    timeout = _timeout(load, slo, delay)
    rate = _rate(load, instances)
    replicas = _replicas(rate, goal)
    return ServingSettings(
        slo_ms=slo,
        largest_batch=Derived(load.batch, load.why),
        delay_ms=delay,
        threads=Derived(threads, "as it was measured: session options of the artifact"),
        instances=instances,
        timeout_ms=timeout,
        queue_rows=_queue(load, instances, timeout, delay),
        rate_per_replica=rate,
        replicas=replicas,
        most_replicas=Derived(2 * replicas.value, "room for twice the rate"),
        memory_mib=_memory(report, instances),
        memory_limit_mib=_memory_limit(report, load, instances),
        start_s=_start(report),
    )


@dataclass(frozen=True)
class _Load:
    """The batch that is served, and what is known of it."""

    batch: int
    why: str
    late: tuple[str, float]
    """The highest percentile that its samples support, and its milliseconds."""
    single_ms: float
    """The median of the smallest batch that was measured."""
    rate: float
    """Samples per second, of one client that asks for batch after batch."""

    @classmethod
    def of(cls, report: Report, threads: int, slo: Derived, *, batches: bool, stated: int | None) -> _Load:
        final = report.final
        measured = final.batch_size or 1
        points = sweep_points(report, threads)
        alone = final.latency_ms.p50 or final.latency_ms.mean
        if not batches:
            why = "inputs and outputs have no batch axis in common: requests cannot be joined"
            return cls(1, why, late(final.latency_ms), alone, final.throughput_per_s)
        if stated is not None:
            return cls.as_stated(report, points, stated)
        if not points:
            why = f"no batch sweep in the report: the batch that was measured ({measured}); a sweep would tell the best"
            return cls(measured, why, late(final.latency_ms), alone, final.throughput_per_s)
        chosen, why = _best(points, slo)
        single = points[0].latency_ms
        return cls(chosen.batch_size, why, late(chosen.latency_ms), single.p50 or single.mean, chosen.throughput_per_s)

    @classmethod
    def as_stated(cls, report: Report, points: Sequence[SweepPoint], batch: int) -> _Load:
        """Return what is known of a batch that the user states: what the sweep says, else what it lasts at most."""
        final = report.final
        alone = points[0].latency_ms if points else final.latency_ms
        single = alone.p50 or alone.mean
        known = next((each for each in points if each.batch_size == batch), None)
        if known is not None:
            why = f"as given: --max-batch; {known.throughput_per_s:,.0f} samples/s in the sweep"
            return cls(batch, why, late(known.latency_ms), single, known.throughput_per_s)
        measured = final.batch_size or 1
        times = max(1.0, batch / measured)
        name, value = late(final.latency_ms)
        why = f"as given: --max-batch; taken to last {times:g} times as long as the {measured} that were measured"
        return cls(batch, why, (name, times * value), single, final.throughput_per_s)


def late(latency: Latency) -> tuple[str, float]:
    """Return the highest percentile that was supported, p99 at most, with its name; the mean if none was."""
    for name in ("p99", "p95", "p90", "p50"):
        value = getattr(latency, name)
        if value is not None:
            return name, float(value)
    return "mean", latency.mean


def sweep_points(report: Report, threads: int) -> list[SweepPoint]:
    """Return the sweep of the final model at its own threads and one client, the smallest batch first."""
    found = [each for each in report.sweep if each.name == report.final.name and each.threads == threads]
    fewest = min((each.concurrency for each in found), default=1)
    return sorted((each for each in found if each.concurrency == fewest), key=lambda each: each.batch_size)


def _best(points: Sequence[SweepPoint], slo: Derived) -> tuple[SweepPoint, str]:
    """Return the smallest batch that comes close to the best throughput, of those that leave half the SLO to wait."""
    fit = [each for each in points if late(each.latency_ms)[1] <= slo.value / 2]
    if not fit:
        name, value = late(points[0].latency_ms)
        return points[0], f"batch sweep: none leaves half the SLO for waiting; the smallest, {name} {value:.3g} ms"
    best = max(each.throughput_per_s for each in fit)
    chosen = next(each for each in fit if each.throughput_per_s >= _ENOUGH * best)
    name, value = late(chosen.latency_ms)
    return chosen, (
        f"batch sweep: {chosen.throughput_per_s:,.0f} samples/s at {name} {value:.3g} ms; of {len(fit)} batches within "
        f"half the SLO the smallest within 5 % of the best"
    )


def _slo(report: Report, goal: Goal) -> Derived:
    if goal.p99_ms is not None:
        return Derived(goal.p99_ms, "as given: --slo")
    name, value = late(report.final.latency_ms)
    return Derived(_SLO_FACTOR * value, f"no --slo: ten times the {name} of one inference ({value:.3g} ms)")


def _delay(load: _Load, slo: Derived) -> Derived:
    if load.batch == 1:
        return Derived(0, "nothing to wait for: batches of 1")
    if load.single_ms <= slo.value / 10:
        return Derived(
            load.single_ms, f"batch sweep, or the run: no longer than one inference takes, p50 {load.single_ms:.3g} ms"
        )
    return Derived(slo.value / 10, f"a tenth of the SLO: one inference takes longer, p50 {load.single_ms:.3g} ms")


def _instances(report: Report, threads: int) -> Derived:
    cores = report.environment.cpu.cores
    return Derived(max(1, cores // threads), f"{cores} cores where it was measured, by {threads} threads")


def _timeout(load: _Load, slo: Derived, delay: Derived) -> Derived:
    name, value = load.late
    needed = 3 * value + delay.value
    if slo.value >= needed:
        return Derived(slo.value, f"the SLO: a later answer is of no use ({name} of a full batch {value:.3g} ms)")
    return Derived(needed, f"three times the {name} of a full batch ({value:.3g} ms) and the delay: the SLO is shorter")


def _queue(load: _Load, instances: Derived, timeout: Derived, delay: Derived) -> Derived:
    left_s = max(0.0, timeout.value - delay.value - load.late[1]) / 1000
    rows = int(left_s * load.rate * instances.value)
    bounded = min(max(rows, load.batch), _MOST_WAITING)
    return Derived(bounded, f"what {instances.value:g} x {load.rate:,.0f} samples/s can still answer in time")


def _rate(load: _Load, instances: Derived) -> Derived:
    rate = PLANNED_SHARE * instances.value * load.rate
    return Derived(
        float(f"{rate:.4g}"),
        f"{100 * PLANNED_SHARE:g} % of {instances.value:g} x {load.rate:,.0f} samples/s at batch {load.batch}; an "
        f"estimate until a load test has measured it at the SLO",
    )


def _replicas(rate: Derived, goal: Goal) -> Derived:
    if goal.rate_per_s is None:
        return Derived(_LEAST_REPLICAS, "no --rate: two, so that one may go")
    needed = math.ceil(goal.rate_per_s / max(rate.value, 1e-9))
    if needed <= _LEAST_REPLICAS:
        return Derived(_LEAST_REPLICAS, f"--rate {goal.rate_per_s:g} takes {needed}: two, so that one may go")
    return Derived(needed, f"--rate {goal.rate_per_s:g} by {rate} samples/s a replica")


def _memory(report: Report, instances: Derived) -> Derived:
    peak = report.final.peak_rss_bytes / _MIB
    return Derived(math.ceil(peak * instances.value), f"{instances.value:g} x peak RSS {peak:,.0f} MiB, as measured")


def _memory_limit(report: Report, load: _Load, instances: Derived) -> Derived:
    measured = report.final.batch_size or 1
    factor = 2.0 if load.batch > measured else 1.5
    because = (
        f"batches of {load.batch}, and peak RSS is of {measured}"
        if factor > 1.5
        else "headroom for arenas and requests"
    )
    peak = report.final.peak_rss_bytes / _MIB * instances.value
    return Derived(math.ceil(factor * peak), f"{factor:g} x that: {because}")


def _start(report: Report) -> Derived:
    cold = report.final.cold_start
    if cold is None:
        return Derived(60, "no cold start in the report: a minute")
    seconds = 30 + 10 * (cold.load_ms + cold.first_ms) / 1000
    return Derived(
        math.ceil(seconds), f"half a minute for the engine, and ten times loading and first answer "
        f"({cold.load_ms:.0f} + {cold.first_ms:.0f} ms)",
    )  # fmt: skip
