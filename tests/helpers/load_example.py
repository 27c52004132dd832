"""Requests that were answered in so many milliseconds, and load tests made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlopt.loadtest.figures import summed
from mlopt.loadtest.volley import Volley
from mlopt.results.report import Cpu, Environment, GateVerdict
from mlopt.results.serving import (
    LoadFigures,
    LoadTestRecord,
    RampRecord,
    RampStep,
    ServedComparison,
    ServedDifference,
    ServerRecord,
)

SECONDS = 20.0


def volley(
    took_ms: Sequence[float], seconds: float = SECONDS, *, late_ms: float | Sequence[float] = 0.0,
    failed: Sequence[tuple[int, str]] = (),
) -> Volley:  # fmt: skip
    """Return requests at equal distances, each answered so long after it was sent."""
    count = len(took_ms)
    found = Volley.planned(np.arange(count) * seconds / count)
    found.sent = found.moments + np.asarray(late_ms) / 1000
    found.done = found.sent + np.asarray(took_ms) / 1000
    for number, kind in failed:
        found.fail(number, kind, f"{kind} of request {number}")
    found.in_flight = 3
    return found


def noisy(count: int, middle: float = 10.0, seed: int = 0) -> list[float]:
    """Return latencies around ``middle`` with a tail, in milliseconds."""
    return (middle * np.random.default_rng(seed).gamma(20, 1 / 20, count)).tolist()


def figures(took_ms: Sequence[float] = (), seconds: float = SECONDS, **how: Any) -> LoadFigures:
    """Sum them up, with a time limit of 10 s."""
    given = took_ms or noisy(2000)
    return summed(volley(given, seconds, **how), len(given) / seconds, seconds, 10.0)


def step(rate: float, verdict: Any = "pass", *, confirms: bool = False, doubt: str | None = None) -> RampStep:
    """Return a rate that was tried."""
    return RampStep(
        rate=rate, seconds=4, verdict=verdict, confirms=confirms, error_rate=0.0, latency_ms={"p99": 10 + rate / 10},
        doubt=doubt,
    )  # fmt: skip


def record(**changes: Any) -> LoadTestRecord:
    """Return a load test with everything in it; ``changes`` replace keys."""
    found = figures(failed=[(7, "http_503"), (8, "timeout")])
    steps = (step(100), step(200, "fail"), step(141), step(141, confirms=True))
    other = ServerRecord(url="http://127.0.0.1:9", model="old")
    parts: dict[str, Any] = {
        "created": "2026-11-01T10:00:00Z",
        "served": ServerRecord(url="http://127.0.0.1:8", model="words", digest="ab" * 32),
        "arrivals": "poisson", "seed": 0, "time_limit_s": 10.0, "max_in_flight": 256, "samples": 16, "batch": 1,
        "data": "made up", "checked": "each answer was compared with the artifact's own, up to rounding",
        "figures": found,
        "ramp": RampRecord(steps=steps, kept=141.0, broken=200.0, ended="found, and confirmed"),
        "comparison": ServedComparison(
            other=other, figures=found,
            differences=(
                ServedDifference(percentile="p50", other_ms=9, value_ms=10, difference_ms=1, interval=(0.5, 1.5),
                                 confidence=0.9975, found="slower"),
                ServedDifference(percentile="p99", other_ms=None, value_ms=None, difference_ms=None, interval=None,
                                 confidence=0.9975, found="not known", reason="n = 12"),
            ),
        ),
        "utilization": 100 / 141, "utilization_between": (0.5, 100 / 141),
        "gates": (GateVerdict(metric="serving.p99_ms", limit="<= 100", value=15.0, ci95=(14.0, 16.0), n=2000,
                              verdict="pass", message="15 is met"),),
        "verdict": "fail", "reasons": ("p50 is 1 ms above the other server's",), "notes": ("a note",),
        "environment": Environment(cpu=Cpu(model="a CPU", isa=("avx2",), cores=2), gpu=None, os="Linux", python="3.11",
                                   packages={}, mlopt="0"),
    }  # fmt: skip
    return LoadTestRecord(**(parts | changes))
