"""Prometheus' text, as servers and proxies give it, read into ``Observed`` by the digest or cluster it is about."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlopt.core.errors import MeasureError, MissingPackage
from mlopt.core.packages import install_command
from mlopt.rollout.observed import Observed


@dataclass(frozen=True)
class MetricNames:
    """What a server calls its metrics, and what one of its units of time is in seconds."""

    requests: str
    code: str
    """The label with the HTTP status."""
    seconds: str
    key: str
    """The label that tells versions apart."""
    unit_s: float = 1.0
    blur_s: float = 0.0
    answers: str | None = None


EMBEDDED = MetricNames(
    "mlopt_requests_total", "code", "mlopt_request_seconds", "digest", answers="mlopt_shadow_answers_total"
)
ENVOY = MetricNames(
    "envoy_cluster_upstream_rq", "envoy_response_code", "envoy_cluster_upstream_rq_time", "envoy_cluster_name",
    unit_s=1e-3, blur_s=1e-3,
)  # fmt: skip


@dataclass
class _Sums:
    codes: dict[str, float] = field(default_factory=dict)
    buckets: dict[float, float] = field(default_factory=dict)
    answers: dict[str, float] = field(default_factory=dict)


_Put = Callable[[_Sums, Mapping[str, str], float], None]


def read(text: str, names: MetricNames, wanted: Mapping[str, str] | None = None) -> dict[str, Observed]:
    """Return the counts by the value of the key's label, of those samples that have the wanted labels.

    Raises ``MeasureError`` when it is no such text, or says nothing of requests.
    """
    sums: dict[str, _Sums] = {}
    places = _places(names)
    for name, labels, value in _samples(text):
        put, key = places.get(name), labels.get(names.key)
        if put is None or key is None or any(labels.get(each) != one for each, one in (wanted or {}).items()):
            continue
        put(sums.setdefault(key, _Sums()), labels, value)
    return {key: _observed(each, names) for key, each in sums.items()}


def _places(names: MetricNames) -> dict[str, _Put]:
    """Return what takes a sample of each name that counts."""

    def request(sums: _Sums, labels: Mapping[str, str], value: float) -> None:
        _add(sums.codes, labels.get(names.code, ""), value)

    def bucket(sums: _Sums, labels: Mapping[str, str], value: float) -> None:
        _add(sums.buckets, float(labels.get("le", "inf")), value)

    def answer(sums: _Sums, labels: Mapping[str, str], value: float) -> None:
        _add(sums.answers, labels.get("result", ""), value)

    # The parser ends the names of counters in _total, whether they came so or not.
    counter = f"{names.requests.removesuffix('_total')}_total"
    found: dict[str, _Put] = {names.requests: request, counter: request, f"{names.seconds}_bucket": bucket}
    if names.answers is not None:
        found[names.answers] = answer
    return found


def _add(sums: dict[Any, float], key: Any, value: float) -> None:
    sums[key] = sums.get(key, 0.0) + value


def _samples(text: str) -> Iterable[tuple[str, Mapping[str, str], float]]:
    try:
        from prometheus_client.parser import text_string_to_metric_families
    except ImportError as error:
        raise MissingPackage(
            "metrics are read with prometheus-client, which is not installed", fix=install_command("serve")
        ) from error
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if not math.isfinite(sample.value) or sample.value < 0:
                    continue
                yield sample.name, sample.labels, sample.value
    except (ValueError, KeyError, IndexError) as error:
        raise MeasureError("these are no metrics in Prometheus' text format", got=str(error)[:200]) from error


def _observed(sums: _Sums, names: MetricNames) -> Observed:
    edges, counts = _histogram(sums.buckets)
    answers = {result: int(sums.answers.get(result, 0)) for result in ("same", "different", "failed")}
    return Observed(
        requests=int(sum(sums.codes.values())),
        errors=int(sum(value for code, value in sums.codes.items() if code.startswith("5"))),
        edges=tuple(edge * names.unit_s for edge in edges), counts=counts, blur_s=names.blur_s, **answers,
    )  # fmt: skip


def _histogram(buckets: Mapping[float, float]) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Return the edges but infinity, and the count in each bucket, of cumulative counts."""
    if not buckets:
        return (), ()
    edges = sorted(buckets)
    if not math.isinf(edges[-1]):
        raise MeasureError("a histogram has no last bucket", got=f"le={edges[-1]}", expected='le="+Inf"')
    totals = [int(buckets[edge]) for edge in edges]
    counts = tuple(late - early for early, late in zip([0, *totals[:-1]], totals, strict=True))
    if min(counts) < 0:
        raise MeasureError("a histogram's counts fall from bucket to bucket")
    return tuple(edges[:-1]), counts
