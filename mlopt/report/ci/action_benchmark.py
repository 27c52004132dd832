"""The JSON of github-action-benchmark, which draws a chart over commits (``tool: customSmallerIsBetter``).

Source: the README of benchmark-action/github-action-benchmark, and its ``extractRangeInfo.ts`` for ``range``. The
action compares by the ratio of two commits. A drop in accuracy lies around zero, where a ratio says nothing and 0 to
0.1 would be an alert, so the chart gets the error in its place: the share of samples that are not right.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mlopt.core.foreign_text import as_json, plain
from mlopt.report.ci import QUANTILES, finite
from mlopt.report.facts import PERCENT_METRICS, metric_name
from mlopt.results.report import Report
from mlopt.results.section import Interval


def render(report: Report) -> str:
    """Return a list with an entry for each figure of the final model that is better when smaller."""
    entries = [one for one in _entries(report) if one is not None]
    return as_json(entries) + "\n"


def _entries(report: Report) -> Iterator[dict[str, Any] | None]:
    final, name = report.final, plain(report.name)
    latency, accuracy = final.latency_ms, final.accuracy
    for key in QUANTILES:
        label = f"{name}: latency {key.replace('p999', 'p99.9')}"
        yield _entry(label, "ms", getattr(latency, key), latency.ci95.get(key), latency.n)
    yield _entry(f"{name}: size", "bytes", final.size_bytes)
    yield _entry(f"{name}: peak memory", "bytes", final.peak_rss_bytes)
    if accuracy is not None and accuracy.metric in PERCENT_METRICS:
        low, high = accuracy.ci95
        interval = (100 * (1 - high), 100 * (1 - low))
        yield _entry(f"{name}: {metric_name(report)} error", "%", 100 * (1 - accuracy.value), interval, accuracy.n)


def _entry(
    name: str, unit: str, value: float | None, interval: Interval | None = None, n: int | None = None
) -> dict[str, Any] | None:
    figure = finite(value)
    if figure is None:
        return None
    entry: dict[str, Any] = {"name": name, "unit": unit, "value": figure}
    if interval is not None:
        low, high = interval
        entry["range"] = f"± {max(high - figure, figure - low):#.3g}"
        entry["extra"] = f"95 % interval {low:.5g} to {high:.5g} {unit}, n = {n}"
    return entry
