"""The pictures of speed: how latency is spread, and what the speedup is worth.

Each is one narrow SVG: side by side on a desk, one below the other on a phone, and legible in both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlopt.report import control, facts
from mlopt.report.svg import HEAD, Drawing, Margins, Scale, colour, draw, head
from mlopt.results.figures import Latency, Speedup
from mlopt.results.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

_ROW = 56.0
_BINS = 72
_CONTROL = " (again)"
"""What the name of the A/A control adds to the name of its model."""


def distributions(report: Report, samples: Mapping[str, Sequence[float]]) -> Drawing | None:
    """Draw how the samples of each candidate are spread; None without samples."""
    known = {one.name: one.latency_ms for one in facts.models(report)}
    order = [*known, *(name + _CONTROL for name in known)]
    data = {name: np.asarray(samples[name], dtype=np.float64) for name in order if samples.get(name)}
    if not data:
        return None
    low, high = _span(data.values())
    scale = Scale.over(low, high)

    def paint(axes: Axes) -> None:
        scale.show(axes)
        for index, (name, values) in enumerate(data.items()):
            role = "final" if name == report.final.name else "reference"
            _ridge(axes, index * _ROW, scale, _Spread(name, values, role, known.get(name)))

    svg = draw("spread", "How latency is spread", len(data) * _ROW, Margins(right=10, bottom=24), paint)
    beyond, total = sum(int((one > high).sum()) for one in data.values()), sum(map(len, data.values()))
    outside = f"{beyond:,} of {total:,} lie beyond the right edge."
    axis = " Logarithmic axis." if scale.log else ""
    caption = f"Milliseconds of every inference; lines mark p50 and p95. {outside}{axis}"
    return Drawing("How latency is spread", caption, svg)


def speedups(report: Report) -> Drawing:
    """Draw the speedup against each reference: its interval, the line of no difference and the noise around it."""
    rows = tuple(report.speedups.values()) or (report.speedup,)
    ends = [end for one in rows for end in (*one.ci95, one.median, *_band(one))]
    scale = Scale.over(min(ends), max(ends), "x", pad=0.08)

    def paint(axes: Axes) -> None:
        scale.show(axes)
        for index, speedup in enumerate(rows):
            _speedup_row(axes, index * _ROW, speedup)

    svg = draw("speedup", "What the speedup is worth", len(rows) * _ROW, Margins(right=10, bottom=24), paint)
    axis = " Logarithmic axis." if scale.log else ""
    caption = f"Ratio of medians, 95 % intervals. The band is what two copies of one model differed by.{axis}"
    if any(map(control.distrusted, rows)):
        caption += " Hollow: the control excludes 1x, so no ratio of this run can be trusted as it stands."
    return Drawing("What the speedup is worth", caption, svg)


@dataclass(frozen=True)
class _Spread:
    """The samples of one candidate, and its percentiles if the report gives them."""

    name: str
    values: NDArray[np.float64]
    role: str
    latency: Latency | None

    def marks(self) -> tuple[tuple[str, float | None], ...]:
        """Return the percentiles to mark."""
        return () if self.latency is None else (("p50", self.latency.p50), ("p95", self.latency.p95))


def _span(data: Iterable[NDArray[np.float64]]) -> tuple[float, float]:
    """Return the range to show: from the fastest sample to the slowest candidate's 99th percentile."""
    arrays = list(data)
    return min(float(one.min()) for one in arrays), max(float(np.quantile(one, 0.99)) for one in arrays)


def _ridge(axes: Axes, top: float, scale: Scale, spread: _Spread) -> None:
    """A histogram, as high as its row whatever the count, under its name and percentiles."""
    given = [(mark, value) for mark, value in spread.marks() if value is not None]
    words = ", ".join(f"{mark} {facts.ms(value)}" for mark, value in given) or f"n = {len(spread.values):,}"
    head(axes, top, facts.short_name(spread.name, 24), words)
    edges = (np.geomspace if scale.log else np.linspace)(scale.low, scale.high, _BINS + 1)
    counts, _ = np.histogram(spread.values, edges)
    base, height = top + _ROW - 4, _ROW - HEAD - 6
    heights = base - height * counts / max(1, counts.max())
    axes.stairs(heights, edges, baseline=base, fill=True, color=colour(spread.role), zorder=2)
    for mark, value in given:
        style: Any = "solid" if mark == "p50" else (0, (2, 1.5))
        axes.plot((value, value), (base - height, base), color=colour("ink"), linewidth=1.2, linestyle=style, zorder=3)


def _speedup_row(axes: Axes, top: float, speedup: Speedup) -> None:
    y = top + (HEAD + _ROW) / 2
    role = {1: "good", 0: "warn", -1: "bad"}[control.beyond_noise(speedup)]
    worth = f"{facts.ratio(speedup.median)} ({facts.between(speedup.ci95, facts.ratio)})"
    head(axes, top, f"against {facts.short_name(speedup.vs, 18)}", worth)
    low, high = _band(speedup)
    axes.barh(y, high - low, 20, left=low, color=colour("line"), zorder=1)
    axes.plot((1, 1), (y - 12, y + 12), color=colour("muted"), linewidth=1.2, zorder=2)
    axes.plot(speedup.ci95, (y, y), color=colour(role), linewidth=2.4, solid_capstyle="round", zorder=3)
    face = colour("paper" if control.distrusted(speedup) else role)
    axes.plot(speedup.median, y, "o", markersize=8, markerfacecolor=face, markeredgecolor=colour(role), zorder=4)


def _band(speedup: Speedup) -> tuple[float, float]:
    """Return the ratios that are no further from 1 than the A/A control's, either way."""
    return 1 / (1 + speedup.noise_floor), 1 + speedup.noise_floor
