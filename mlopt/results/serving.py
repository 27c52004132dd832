"""``loadtest.json``, schema ``mlopt.loadtest/v1``: what a server did under load, and how well the load was kept.

Latencies are milliseconds from the moment at which a request was to be sent, whenever it was; rates are requests per
second, times seconds.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mlopt.results.figures import Latency
from mlopt.results.report import Environment, GateVerdict
from mlopt.results.section import Count, Few, Interval, Many, Section, Verdict

SCHEMA = "mlopt.loadtest/v1"


class ServerRecord(Section):
    """Who was asked."""

    url: str
    model: str
    version: str | None = None
    """As the address names it; null: whichever the server chooses."""
    digest: str | None = None
    """Of the artifact that should be served; null if none was given, so that nobody looked."""


class TimeStretch(Section):
    """A part of the time under load."""

    start_s: float
    requests: Count
    p50_ms: float | None
    """Null where no request was to be sent."""
    most_ms: float | None
    failed: Count


class LoadFigures(Section):
    """What one server answered in one stretch of load."""

    rate: float
    """Requests per second that were to be sent to this server."""
    seconds: float
    requests: Count
    """How many were to be sent; each of them is in every figure that does not say otherwise."""
    answered: Count
    """How many came back right."""
    answered_per_s: float
    errors: Few[dict[str, Count]]
    """How many did not, by kind: ``http_503``, ``timeout``, ``connection``, ``unsent`` (as many as allowed were under
    way), ``unreadable``, ``wrong``, ``digest``."""
    examples: Few[dict[str, str]] = Field(default_factory=dict)
    """What the first of each kind was, in words."""
    error_rate: float
    """From 0 to 1."""
    error_rate_ci95: Interval
    latency_ms: Latency
    """Of all requests; one that failed counts as one that took the time limit of a request."""
    answered_ms: Latency | None
    """Of those alone that were answered right; null if none was."""
    lateness_ms: Latency | None
    """How long after its moment a request was sent: the generator's own fault, which is in ``latency_ms``, too.
    Null if none was sent."""
    in_flight: Count
    """The most requests that were under way at a time."""
    over_time: Many[tuple[TimeStretch, ...]] = ()
    """The same latencies, by when the requests were to be sent."""


class RampStep(Section):
    """One rate that was tried, and whether the limits held there."""

    rate: float
    seconds: float
    verdict: Verdict
    confirms: bool = False
    """Whether it is the longer look at a rate that seemed right."""
    error_rate: float
    latency_ms: dict[str, float | None]
    """The percentiles that are limited."""
    doubt: str | None = None


class RampRecord(Section):
    """The search for the highest rate that keeps the limits."""

    steps: Many[tuple[RampStep, ...]]
    kept: float | None
    """The highest rate at which they were confirmed to hold; null if they held at none that was tried."""
    broken: float | None
    """The lowest rate at which they were broken; null if there was none."""
    ended: str
    """Why the search ended, in words."""


class ServedDifference(Section):
    """One percentile of two servers that were asked in turn."""

    percentile: Literal["p50", "p99"]
    other_ms: float | None
    """Of the server that is compared with."""
    value_ms: float | None
    difference_ms: float | None
    """Positive: slower than the other."""
    interval: Interval | None
    confidence: float
    found: Literal["slower", "faster", "no difference shown", "not known"]
    reason: str | None = None
    """Why it is not known."""


class ServedComparison(Section):
    """Two servers in one run."""

    other: ServerRecord
    figures: LoadFigures
    """Of the other."""
    differences: tuple[ServedDifference, ...]


class LoadTestRecord(Section):
    """A load test, whole."""

    schema_: Literal["mlopt.loadtest/v1"] = Field(default="mlopt.loadtest/v1", alias="schema")
    created: str
    served: ServerRecord
    arrivals: Literal["poisson", "constant"]
    seed: Count
    time_limit_s: float
    """After which a request is given up."""
    max_in_flight: Count
    samples: Count
    """How many different requests there were."""
    batch: Count
    """Rows in one request."""
    data: str
    """Where the samples come from; ``made up`` if nowhere."""
    checked: str
    """How answers were held against the artifact's own, in words."""
    figures: LoadFigures
    ramp: RampRecord | None = None
    comparison: ServedComparison | None = None
    utilization: float | None = None
    """The rate over the highest one that keeps the limits; null without ``--ramp``, or if there was none."""
    utilization_between: Interval | None = None
    doubt: str | None = None
    """Why the figures are not to be believed: the generator did not keep its times."""
    remedy: str | None = None
    gates: Many[tuple[GateVerdict, ...]] = ()
    verdict: Verdict | None = None
    """Null where nothing was limited and nothing is wrong."""
    reasons: Few[tuple[str, ...]] = ()
    """What the verdict hangs on beside the gates."""
    notes: Few[tuple[str, ...]] = ()
    environment: Environment
