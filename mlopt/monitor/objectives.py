"""What is to be kept in service, derived from what was measured before: pure, and each figure says where it is from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mlopt.core.errors import UserError
from mlopt.results.report import Report

AVAILABILITY = 0.999
FAST_SHARE = 0.99
"""Of the requests that must keep the limit on latency."""
_ROOM = 4.0
"""The limit on latency is so many times the measured one: a request also waits, and machines are shared."""
_FIRST_S, _LAST_S, _STEP = 1e-4, 60.0, 1.15
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_LIMIT = re.compile(r"(?:p99=)?(\d+(?:\.\d+)?)(us|ms|s)")


@dataclass(frozen=True)
class Objectives:
    """Limits in service."""

    model: str
    digest: str
    latency_s: float
    """A bound of the server's buckets, so that what is slower can be counted."""
    queue_rows: int
    availability: float
    reasons: tuple[str, ...]
    """Where each is from."""


def objectives(
    report: Report, model: str, digest: str, *, slo: str | None = None, availability: float = AVAILABILITY
) -> Objectives:
    """Derive the limits from an artifact's report; ``slo`` is a limit on latency such as ``p99=100ms``."""
    if not 0.5 <= availability < 1:
        raise UserError("the availability is a share of the requests", got=f"{availability:g}", expected="0.5 to 1")
    latency, reason = (seconds_of(slo), f"latency: {slo}, as given") if slo else _latency(report)
    bound = bucket_of(latency)
    per_second = report.final.throughput_per_s
    queue = max(int(per_second * bound), 1)
    return Objectives(model, digest, bound, queue, availability, (
        f"{reason}; {bound:g} s is the server's bucket from there on",
        f"queue: {queue:,} rows are what {per_second:,.4g} per second, as measured, compute in {bound:g} s",
        f"availability: {availability:.4%} of the requests without an error of the server",
    ))  # fmt: skip


def seconds_of(slo: str) -> float:
    """Read a limit on latency; raises ``UserError``."""
    found = _LIMIT.fullmatch(slo.replace(" ", ""))
    if found is None or not float(found[1]):
        raise UserError("this is no limit on latency", where=f"--slo {slo[:40]}", expected="such as p99=100ms")
    return float(found[1]) * _UNITS[found[2]]


def bucket_of(seconds: float) -> float:
    """Return the least bound of the server's buckets that is at least so much: they stand 15 % apart."""
    return next((bound for bound in bounds() if bound >= seconds), _LAST_S)


def bounds() -> Iterator[float]:
    """Yield the upper bounds of the embedded server's buckets, in seconds."""
    bound = _FIRST_S
    yield bound
    while bound < _LAST_S:
        bound = float(f"{bound * _STEP:.4g}")
        yield bound


def _latency(report: Report) -> tuple[float, str]:
    """Return a limit from the highest percentile that was measured."""
    latency = report.final.latency_ms
    known = (("p99", latency.p99), ("p95", latency.p95), ("p50", latency.p50), ("mean", latency.mean))
    name, value = next((name, value) for name, value in known if value is not None)
    return _ROOM * value / 1e3, f"latency: {_ROOM:g} times the measured {name} of {value:.4g} ms, as requests wait too"
