"""The pictures of a load test: latency as time went on, where stalls stand out, and the rates that were tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlopt.report import facts
from mlopt.report.svg import Drawing, Margins, Scale, colour, draw
from mlopt.report.trust import VERDICT_ROLE
from mlopt.results.serving import LoadTestRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEIGHT = 170.0
_MARGINS = Margins(left=62, right=12, top=10, bottom=26)


def over_time(record: LoadTestRecord) -> Drawing | None:
    """Draw the median and the slowest of each stretch of time; None without any."""
    found = [one for one in record.figures.over_time if one.p50_ms is not None and one.most_ms is not None]
    if not found:
        return None
    starts, medians = [one.start_s for one in found], [one.p50_ms or 0.0 for one in found]
    slowest = [one.most_ms or 0.0 for one in found]
    scale = Scale.over(min(medians), max(slowest), " ms", pad=0.08)
    across = Scale(0.0, record.figures.seconds, " s")
    bad = [place for place, one in enumerate(found) if one.failed]
    title = "Latency as time went on"

    def paint(axes: Axes) -> None:
        across.show(axes)
        scale.show(axes, "y")
        axes.plot(starts, slowest, "o", color=colour("reference"), markersize=3.5, zorder=2)
        axes.plot(starts, medians, color=colour("final"), linewidth=1.6, zorder=3)
        axes.plot([starts[place] for place in bad], [slowest[place] for place in bad], "o", color=colour("bad"),
                  markersize=4.5, zorder=4)  # fmt: skip

    caption = "The line is the median of each stretch of time, a dot its slowest request; red where requests failed."
    caption += " Logarithmic axis." if scale.log else ""
    return Drawing(title, caption, draw("overtime", title, _HEIGHT, _MARGINS, paint))


def ramp(record: LoadTestRecord) -> Drawing | None:
    """Draw the latency of each rate that was tried, coloured by its verdict; None without a search."""
    if record.ramp is None:
        return None
    name = max((key for step in record.ramp.steps for key in step.latency_ms), default=None)
    points = [(step, value) for step in record.ramp.steps if name and (value := step.latency_ms.get(name)) is not None]
    if not points:
        return None
    rates, values = [step.rate for step, _ in points], [value for _, value in points]
    across, scale = Scale.over(min(rates), max(rates), pad=0.06), Scale.over(min(values), max(values), " ms", pad=0.1)
    title = "The rates that were tried"

    def paint(axes: Axes) -> None:
        across.show(axes)
        scale.show(axes, "y")
        for step, value in points:
            face = colour(VERDICT_ROLE[step.verdict] if step.confirms else "paper")
            axes.plot(step.rate, value, "o", markersize=7, markerfacecolor=face, zorder=3,
                      markeredgecolor=colour(VERDICT_ROLE[step.verdict]))  # fmt: skip

    caption = f"{name} by requests per second: green kept the limits, red broke them, yellow is undecided; filled is a "
    caption += f"longer look. Kept: {_rate(record.ramp.kept)}; broken: {_rate(record.ramp.broken)}."
    return Drawing(title, caption, draw("rates", title, _HEIGHT, _MARGINS, paint))


def _rate(value: float | None) -> str:
    return "none" if value is None else f"{facts.exact(value)} /s"
