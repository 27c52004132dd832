"""What every rendering of a load test says: its headline, its figures, its tables. All text is untrusted."""

from __future__ import annotations

from collections.abc import Iterator

from mlopt.core.foreign_text import plain
from mlopt.report import facts
from mlopt.report.facts import Figure
from mlopt.report.trust import VERDICT_ROLE
from mlopt.results.figures import Latency
from mlopt.results.report import GateVerdict
from mlopt.results.serving import LoadFigures, LoadTestRecord, RampStep, ServedDifference

PERCENTILES = ("p50", "p90", "p95", "p99", "p999")
NAMES = {"p999": "p99.9"}
LATENCY_HEADS = ("Latency", *(NAMES.get(name, name) for name in PERCENTILES), "mean", "n")
GATE_HEADS = ("Gate", "Verdict", "Found")
RAMP_HEADS = ("Rate", "For", "Latency", "Errors", "Verdict")
DIFFERENCE_HEADS = ("Percentile", "Here", "The other", "Difference", "Interval", "Found")
ERROR_HEADS = ("Kind", "Requests", "The first")
_KINDS = {
    "timeout": "no answer within the time limit",
    "connection": "no connection",
    "unsent": "too many were under way",
    "unreadable": "no answer of the protocol",
    "wrong": "not the artifact's answer",
    "digest": "another artifact answered",
}


def verdict(record: LoadTestRecord) -> str:
    """Return the verdict as a word."""
    return record.verdict.upper() if record.verdict is not None else "NOT JUDGED"


def role(record: LoadTestRecord) -> str:
    """Return the colour of the verdict."""
    return VERDICT_ROLE[record.verdict] if record.verdict is not None else "quiet"


def headline(record: LoadTestRecord) -> str:
    """Say in a sentence what came of it."""
    found = record.figures
    share = f"{found.answered:,} of {found.requests:,} requests were answered right"
    tail = f", p99 {facts.percentile(found.latency_ms, 'p99')}" if found.latency_ms.p99 is not None else ""
    rate = f"At {facts.exact(found.rate)} requests/s for {facts.exact(found.seconds)} s"
    return f"{rate} {share}{tail}."


def reasons(record: LoadTestRecord) -> Iterator[str]:
    """Yield what the verdict hangs on beside the gates, and what to do about a load that was not put on."""
    yield from (f"{facts.upper_first(plain(reason))}." for reason in record.reasons)
    if record.doubt is not None and record.doubt not in record.reasons:
        yield f"{facts.upper_first(plain(record.doubt))}."
    if record.remedy is not None:
        yield f"To decide: {plain(record.remedy)}."


def top(record: LoadTestRecord) -> tuple[Figure, ...]:
    """Return the headline figures."""
    found = record.figures
    return (
        *(_latency(found.latency_ms, name) for name in ("p99", "p50")),
        Figure("Errors", percent(found.error_rate), facts.between(found.error_rate_ci95, percent)),
        *_capacity(record),
    )


def _latency(latency: Latency, name: str) -> Figure:
    value, span = getattr(latency, name), latency.ci95.get(name)
    if value is None:
        return Figure(name, "not given", latency.reasons.get(name, ""))
    return Figure(name, facts.ms(value), facts.between(span, facts.ms) if span is not None else "")


def _capacity(record: LoadTestRecord) -> list[Figure]:
    ramp = record.ramp
    if ramp is None:
        return [Figure("Answered", f"{facts.number(record.figures.answered_per_s)} /s", "right ones")]
    kept = "none" if ramp.kept is None else f"{facts.exact(ramp.kept)} /s"
    broken = "" if ramp.broken is None else f"broken at {facts.exact(ramp.broken)} /s"
    return [Figure("Highest rate", kept, broken or plain(ramp.ended))]


def percent(share: float) -> str:
    """Return a share of one, with more digits where it is small."""
    return facts.percent(share, 2 if share < 0.1 else 1)


def account(record: LoadTestRecord) -> Iterator[tuple[str, str]]:
    """Yield what was done, label by label."""
    found, served = record.figures, record.served
    version = f", version {served.version}" if served.version is not None else ""
    yield "server", plain(f"{served.url}, model {served.model}{version}")
    if served.digest is not None:
        yield "artifact", plain(served.digest)
    kind = "Poisson" if record.arrivals == "poisson" else "constant"
    yield "load", f"{found.requests:,} requests, {facts.exact(found.rate)} /s, {kind} (seed {record.seed}), open loop"
    bound = f"{facts.exact(record.time_limit_s)} s a request, {record.max_in_flight:,} at a time"
    yield "bounds", f"{bound}; there were {found.in_flight:,}"
    rows = f"{record.batch:,} row{'s' if record.batch > 1 else ''} each"
    yield "samples", plain(f"{record.samples:,} requests, {rows}: {record.data}")
    yield "answers", plain(record.checked)
    if found.lateness_ms is not None:
        late = f"requests were sent {facts.ms(found.lateness_ms.mean)} after their moment on average"
        yield "lateness", f"{late}, p99 {facts.percentile(found.lateness_ms, 'p99')}"
    if record.utilization is not None and record.utilization_between is not None:
        share = percent(record.utilization)
        yield "utilization", f"{share} of the highest rate ({facts.between(record.utilization_between, percent)})"
    if record.ramp is not None:
        count = len(record.ramp.steps)
        yield "search", f"{count} rate{'s' if count != 1 else ''}: {plain(record.ramp.ended)}"


def latencies(figures: LoadFigures) -> Iterator[tuple[str, ...]]:
    """Yield rows for ``LATENCY_HEADS``."""
    kinds = {"of all requests": figures.latency_ms, "answered right": figures.answered_ms,
             "sent late by": figures.lateness_ms}  # fmt: skip
    for label, latency in kinds.items():
        if latency is not None:
            given = (getattr(latency, name) for name in PERCENTILES)
            cells = ("not given" if value is None else facts.ms(value) for value in given)
            yield label, *cells, facts.ms(latency.mean), f"{latency.n:,}"


def errors(figures: LoadFigures) -> Iterator[tuple[str, ...]]:
    """Yield rows for ``ERROR_HEADS``."""
    for kind, count in figures.errors.items():
        words = _KINDS.get(kind)
        name = f"{plain(kind)} ({words})" if words is not None else plain(kind.replace("_", " "))
        yield name, f"{count:,}", facts.shorten(figures.examples.get(kind, ""), 160)


def gates(found: tuple[GateVerdict, ...]) -> Iterator[tuple[str, ...]]:
    """Yield rows for ``GATE_HEADS``."""
    for gate in found:
        yield plain(f"{gate.metric} {gate.limit}"), gate.verdict, plain(gate.message)


def ramp(steps: tuple[RampStep, ...]) -> Iterator[tuple[str, ...]]:
    """Yield rows for ``RAMP_HEADS``."""
    for step in steps:
        values = (f"{NAMES.get(name, name)} {'not given' if one is None else facts.ms(one)}"
                  for name, one in step.latency_ms.items())  # fmt: skip
        words = f"{step.verdict}{', to confirm' if step.confirms else ''}"
        told = f"{words}: {plain(step.doubt)}" if step.doubt else words
        head = f"{facts.exact(step.rate)} /s", f"{facts.exact(step.seconds)} s"
        yield *head, ", ".join(values), percent(step.error_rate), told


def differences(found: tuple[ServedDifference, ...]) -> Iterator[tuple[str, ...]]:
    """Yield rows for ``DIFFERENCE_HEADS``."""
    for one in found:
        if one.value_ms is None or one.other_ms is None or one.difference_ms is None or one.interval is None:
            yield one.percentile, "", "", "", "", f"{one.found}: {plain(one.reason or '')}"
            continue
        span = f"{facts.between(one.interval, facts.ms)} ({facts.percent(one.confidence, 2)})"
        values = map(facts.ms, (one.value_ms, one.other_ms, one.difference_ms))
        yield one.percentile, *values, span, one.found
