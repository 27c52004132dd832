"""What a scrape of ``/metrics`` says, in Prometheus's text format; docs/serve.md lists the names.

The buckets of times stand 15 % apart from 0.1 ms to 60 s, so that a percentile read from them is off by less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

_FIRST_S, _LAST_S, _STEP = 1e-4, 60.0, 1.15
_BY_VERSION = ("model", "digest")
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
Shadowed = Literal["same", "different", "failed"]


def buckets() -> tuple[float, ...]:
    """Return the upper bounds of the buckets, in seconds."""
    found = [_FIRST_S]
    while found[-1] < _LAST_S:
        found.append(float(f"{found[-1] * _STEP:.4g}"))
    return tuple(found)


class Metrics:
    """The figures of one server."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series for each counter that nobody reads
        self._all = CollectorRegistry()
        self._requests = self._counter("requests", "Requests answered", *_BY_VERSION, "code")
        self._request_s = self._seconds("request_seconds", "Time in the server, waiting included")
        self._execution_s = self._seconds("execution_seconds", "Time of one run of the model")
        self._executions = self._counter("executions", "Runs of the model", *_BY_VERSION)
        self._rows = self._counter("rows", "Rows in these runs", *_BY_VERSION)
        self._queue = self._gauge("queue_rows", "Rows that wait", "model")
        self._in_flight = self._gauge("in_flight_requests", "Accepted, and not answered yet")
        self._weight = self._gauge("weight", "Share of the requests, 0 to 1", *_BY_VERSION)
        self._shadow = self._counter("shadow_answers", "Mirrored answers", *_BY_VERSION, "result")
        self._not_mirrored = self._counter("shadow_dropped", "Not mirrored for want of room", *_BY_VERSION)
        self._cache = self._counter("cache", "Looks into the response cache", "model", "result")
        self._sketched = self._gauge("sketch_rows", "Rows that were sketched", *_BY_VERSION)
        self._fallbacks = self._counter("fallbacks", "Failed, and answered by the version before", *_BY_VERSION)

    def text(self) -> bytes:
        """Return what a scrape gets."""
        return generate_latest(self._all)

    def request(self, model: str, digest: str, code: int, seconds: float) -> None:
        """Count an answer to an inference request, whatever it was."""
        self._requests.labels(model, digest, str(code)).inc()
        self._request_s.labels(model, digest).observe(seconds)

    def execution(self, model: str, digest: str, rows: int, seconds: float) -> None:
        """Count a run of a model."""
        self._executions.labels(model, digest).inc()
        self._rows.labels(model, digest).inc(rows)
        self._execution_s.labels(model, digest).observe(seconds)

    def queue(self, model: str, rows: Callable[[], float]) -> None:
        """Have every scrape ask how many rows wait."""
        self._queue.labels(model).set_function(rows)

    def in_flight(self, requests: Callable[[], float]) -> None:
        """Have every scrape ask how many accepted requests are not answered yet."""
        self._in_flight.set_function(requests)

    def weights(self, model: str, digests: Iterable[str], percents: Mapping[str, float]) -> None:
        """Tell who answers how much; those of the digests that have no percent get nothing."""
        for digest in {*digests, *percents}:
            self._weight.labels(model, digest).set(percents.get(digest, 0.0) / 100)

    def shadow(self, model: str, digest: str, result: Shadowed) -> None:
        """Count a mirrored answer."""
        self._shadow.labels(model, digest, result).inc()

    def not_mirrored(self, model: str, digest: str) -> None:
        """Count a request that was to be mirrored, and was not for want of room."""
        self._not_mirrored.labels(model, digest).inc()

    def cached(self, model: str, *, hit: bool) -> None:
        """Count a look into the cache."""
        self._cache.labels(model, "hit" if hit else "miss").inc()

    def sketched(self, model: str, digest: str, rows: int) -> None:
        """Count rows that were looked at."""
        self._sketched.labels(model, digest).inc(rows)

    def fell_back(self, model: str, digest: str) -> None:
        """Count a request that the version failed, and the one before it answered."""
        self._fallbacks.labels(model, digest).inc()

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"mlopt_{name}", text, labels, registry=self._all)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"mlopt_{name}", text, labels, registry=self._all)

    def _seconds(self, name: str, text: str) -> Histogram:
        return Histogram(f"mlopt_{name}", text, _BY_VERSION, registry=self._all, buckets=buckets())
