"""The story of a run in pictures: what each step did to latency, to size, to the work and to the metric.

The references stand on top, the shipped model at the bottom; between them every step is drawn as the difference it
made. A step that was dropped, refused or failed is greyed and says so: what did not work is part of the evidence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlopt.report import facts
from mlopt.report.facts import StoryRow
from mlopt.report.svg import Drawing, Margins, colour, draw, write
from mlopt.results.report import Report
from mlopt.results.section import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW = 27.0
_BAR = 13.0
_MARGINS = Margins(left=112, right=70)
_LABEL_LENGTH = 13


@dataclass(frozen=True)
class _Quantity:
    """One property of a stage, and how it is told."""

    name: str
    title: str
    value: Callable[[StoryRow], float | None]
    interval: Callable[[StoryRow], Interval | None]
    text: Callable[[float], str]
    better: int
    """1 if more is better, -1 if less is."""
    absent: str = "not measured"
    """What is said where a stage that was kept has no value."""


@dataclass(frozen=True)
class _Level:
    """Where the last kept stage left the quantity."""

    value: float
    interval: Interval | None
    y: float


_Row = Callable[["Axes", float, StoryRow, _Level | None, _Quantity], None]


def latency_steps(report: Report) -> Drawing:
    """Draw the median latency of every stage."""
    quantity = _Quantity(
        name="latency",
        title=f"Latency, {_told(report)}",
        value=lambda stage: stage.latency.p50 if stage.latency else None,
        interval=lambda stage: stage.latency.ci95.get("p50") if stage.latency else None,
        text=facts.ms,
        better=-1,
    )
    caption = "Median of one inference. Green is faster, red slower, grey within the intervals; dashed was not kept."
    return _bars(report, quantity, caption)


def size_steps(report: Report) -> Drawing:
    """Draw the size of every stage's files."""
    quantity = _Quantity(
        name="size",
        title=f"Size, {_told(report)}",
        value=lambda stage: stage.size_bytes,
        interval=lambda _stage: None,
        text=lambda value: facts.size(round(value)),
        better=-1,
    )
    return _bars(report, quantity, "Model files with their weights; dashed was not kept.")


def macs_steps(report: Report) -> Drawing | None:
    """Draw the multiplications of every stage; None where nothing could be counted."""
    work, batch = facts.work(report), report.final.batch_size
    if work is None:
        return None
    quantity = _Quantity(
        name="macs",
        title=f"{work}, {_told(report)}",
        value=lambda stage: stage.macs,
        interval=lambda _stage: None,
        text=lambda value: facts.macs(round(value)),
        better=-1,
        absent="unknown",
    )
    samples = "one sample" if batch in (None, 1) else f"{batch:,} samples"
    caption = f"Multiplications of one inference of {samples}, by the graph's shapes; fewer bits change none of them."
    return _bars(report, quantity, caption)


def accuracy_steps(report: Report) -> Drawing | None:
    """Draw the metric of every stage with its interval; None where nothing was scored."""
    scored = [stage.accuracy for stage in facts.stages(report) if stage.accuracy is not None]
    if not scored:
        return None
    metric = scored[0].metric
    quantity = _Quantity(
        name="metric",
        title=f"{facts.upper_first(facts.metric_name(report))}, {_told(report)}",
        value=lambda stage: stage.accuracy.value if stage.accuracy else None,
        interval=lambda stage: stage.accuracy.ci95 if stage.accuracy else None,
        text=lambda value: facts.metric_value(value, metric),
        better=1,
    )
    low, high = min(one.ci95[0] for one in scored), max(one.ci95[1] for one in scored)
    pad = 0.06 * (high - low) or 0.01
    caption = "With 95 % intervals; the axis does not start at zero. Grey is within the intervals, hollow was not kept."
    svg = _stack(report, quantity, (low - pad, high + pad), _dot_row)
    return Drawing(quantity.title, caption, svg)


def _told(report: Report) -> str:
    return "step by step" if report.steps else "model by model"


def _bars(report: Report, quantity: _Quantity, caption: str) -> Drawing:
    values = [quantity.value(stage) or 0.0 for stage in facts.stages(report)]
    return Drawing(quantity.title, caption, _stack(report, quantity, (0.0, max(values) or 1.0), _bar_row))


def _stack(report: Report, quantity: _Quantity, limits: Interval, draw_row: _Row) -> str:
    rows = facts.stages(report)

    def paint(axes: Axes) -> None:
        axes.set_xlim(*limits)
        level = None
        for index, stage in enumerate(rows):
            y = (index + 0.5) * _ROW
            if index and "step" in (stage.part, rows[index - 1].part) and stage.part != rows[index - 1].part:
                _rule(axes, index * _ROW)
            bold = stage.part == "final"
            role = "ink" if stage.kept else "muted"
            write(axes, facts.short_name(stage.label, _LABEL_LENGTH), 0, y, dx=-8, align="right", role=role, bold=bold)
            draw_row(axes, y, stage, level, quantity)
            level = _after(stage, level, quantity, y)

    return draw(quantity.name, quantity.title, len(rows) * _ROW, _MARGINS, paint)


def _after(stage: StoryRow, level: _Level | None, quantity: _Quantity, y: float) -> _Level | None:
    """The steps start from the first reference; then each kept step moves the level."""
    value = quantity.value(stage)
    if value is None or not stage.kept or (stage.part == "reference" and level is not None):
        return level
    return _Level(value, quantity.interval(stage), y)


def _bar_row(axes: Axes, y: float, stage: StoryRow, level: _Level | None, quantity: _Quantity) -> None:
    """A reference and the final model reach from zero; a step reaches from where the last one ended."""
    value = quantity.value(stage)
    start = level.value if level is not None and stage.part == "step" else 0.0
    _connect(axes, y, stage, level)
    if value is None:
        write(axes, _status(stage, quantity), start, y, across=False, dx=6, role="muted")
        return
    text = quantity.text(value) if stage.kept else _status(stage, quantity)
    write(axes, text, max(start, value), y, across=False, dx=6, role="ink" if stage.kept else "muted")
    left, width = min(start, value), abs(value - start)
    if not stage.kept:
        axes.barh(y, width, _BAR, left=left, fill=False, edgecolor=colour("muted"), linestyle=(0, (3, 2)), zorder=2)
        return
    role = _judged(value, stage, level, quantity) if stage.part == "step" else stage.part
    axes.barh(y, width, _BAR, left=left, color=colour(role), zorder=2)
    axes.plot((value, value), (y - _BAR / 2, y + _BAR / 2), color=colour(role), linewidth=1.6, zorder=3)


def _dot_row(axes: Axes, y: float, stage: StoryRow, level: _Level | None, quantity: _Quantity) -> None:
    """A dot and its interval."""
    value, interval = quantity.value(stage), quantity.interval(stage)
    _connect(axes, y, stage, level)
    text = _status(stage, quantity) if value is None or not stage.kept else quantity.text(value)
    write(axes, text, 1, y, dx=8, role="ink" if stage.kept and value is not None else "muted")
    if value is None or interval is None:
        return
    role = stage.part if stage.part != "step" else _judged(value, stage, level, quantity) if stage.kept else "muted"
    axes.plot(interval, (y, y), color=colour(role), linewidth=1.6, zorder=2, solid_capstyle="round")
    face = colour(role) if stage.kept else colour("paper")
    axes.plot(value, y, "o", markersize=7, markerfacecolor=face, markeredgecolor=colour(role), clip_on=False, zorder=3)


def _judged(value: float, stage: StoryRow, level: _Level | None, quantity: _Quantity) -> str:
    """Return the colour of a change: none where the two intervals overlap, since it may be noise."""
    if level is None or value == level.value:
        return "reference"
    interval = quantity.interval(stage)
    if interval and level.interval and interval[0] <= level.interval[1] and level.interval[0] <= interval[1]:
        return "reference"
    return "good" if (value - level.value) * quantity.better > 0 else "bad"


def _status(stage: StoryRow, quantity: _Quantity) -> str:
    return quantity.absent if stage.kept else stage.status


def _connect(axes: Axes, y: float, stage: StoryRow, level: _Level | None) -> None:
    """A thin line down from where the last kept step ended."""
    if level is not None and stage.part != "reference":
        axes.plot((level.value, level.value), (level.y, y), color=colour("line"), linewidth=1, zorder=1)


def _rule(axes: Axes, y: float) -> None:
    edges = (-_MARGINS.left / _MARGINS.inner, 1 + _MARGINS.right / _MARGINS.inner)
    axes.plot(edges, (y, y), transform=axes.get_yaxis_transform(), color=colour("line"), linewidth=0.8, clip_on=False)
