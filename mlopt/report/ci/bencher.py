"""Bencher Metric Format (BMF), for ``bencher run --adapter json --file``.

Source: "Bencher Metric Format" in Bencher's documentation. Its own measures are used where there are some: ``latency``
in nanoseconds, ``throughput`` in operations per second, ``file-size`` in bytes. The bounds are the 95 % interval. Each
measured model is a benchmark of its own, so a change of the machine shows as a change of them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mlopt.core.foreign_text import as_json
from mlopt.report.ci import QUANTILES, candidates, finite
from mlopt.report.facts import shorten
from mlopt.results.report import CandidateRecord, Report
from mlopt.results.section import Interval

_NAME_LENGTH = 1024
_NANOSECONDS = 1e6


@dataclass(frozen=True)
class _Measure:
    slug: str
    value: float | None
    interval: Interval | None = None
    scale: float = 1.0


def render(report: Report) -> str:
    """Return the JSON; a measure without a figure is left out."""
    document = {
        shorten(f"{report.name}: {name}", _NAME_LENGTH): dict(_metrics(_measures(report, one)))
        for name, one in candidates(report).items()
    }
    return as_json(document) + "\n"


def _measures(report: Report, one: CandidateRecord) -> Iterator[_Measure]:
    latency, accuracy = one.latency_ms, one.accuracy
    for key in QUANTILES:
        slug = "latency" if key == "p50" else f"latency-{key}"
        yield _Measure(slug, getattr(latency, key), latency.ci95.get(key), _NANOSECONDS)
    yield _Measure("throughput", one.throughput_per_s)
    yield _Measure("file-size", one.size_bytes)
    yield _Measure("peak-memory", one.peak_rss_bytes)
    if accuracy is not None:
        yield _Measure("accuracy", accuracy.value, accuracy.ci95)
    if one is report.final:
        yield _Measure("speedup", report.speedup.median, report.speedup.ci95)


def _metrics(measures: Iterable[_Measure]) -> Iterator[tuple[str, dict[str, float]]]:
    for one in measures:
        low, high = one.interval or (None, None)
        figures = {"value": one.value, "lower_value": low, "upper_value": high}
        scaled = {key: number for key, found in figures.items() if (number := finite(found, one.scale)) is not None}
        if "value" in scaled:
            yield one.slug, scaled
