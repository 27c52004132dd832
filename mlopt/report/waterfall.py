"""The story of a run in one waterfall: what each step did to latency, to size, to the work and to the metric.

The references stand on top, the shipped model at the bottom; between them a step's bar shows what is left, and in
colour what it won or lost. Page and share card draw these bars; where they lie is decided here, as shares of an axis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mlopt.report import facts
from mlopt.report.facts import StoryRow
from mlopt.results.report import Report
from mlopt.results.section import Interval

_TEARS = 3.0
"""A reference that is so many times above all else is drawn torn off, so that the others can be compared."""

_MOST_PERCENT = 300


@dataclass(frozen=True)
class Bar:
    """One quantity of one stage. Shares of the axis are 0 to 1; None where there is nothing to draw."""

    text: str
    change: str = ""
    """Against the last kept stage, where that is a difference; such as ``-38 %``."""
    role: str = "muted"
    rest: tuple[float, float] | None = None
    """What is left."""
    moved: tuple[float, float] | None = None
    """What the stage won or lost."""
    dot: float | None = None
    span: tuple[float, float] | None = None
    """The interval around the dot."""
    came_from: float | None = None
    """Where the last kept stage ended."""
    torn: bool = False

    @property
    def end(self) -> float:
        """Where the label goes."""
        return max((end for part in (self.rest, self.moved) if part for end in part), default=0.0)


@dataclass(frozen=True)
class Column:
    """One quantity, with a bar for each stage."""

    title: str
    bars: tuple[Bar, ...]
    dots: bool = False


@dataclass(frozen=True)
class _Quantity:
    """One property of a stage, and how it is told."""

    title: str
    value: Callable[[StoryRow], float | None]
    interval: Callable[[StoryRow], Interval | None]
    text: Callable[[float], str]
    better: int = -1
    """1 if more is better, -1 if less is."""
    absent: str = "not measured"
    dots: bool = False


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float

    def share(self, value: float) -> float:
        """Return where a value lies, cut at the ends."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


@dataclass(frozen=True)
class _Level:
    """Where the last kept stage left the quantity."""

    value: float
    interval: Interval | None


def columns(report: Report) -> tuple[Column, ...]:
    """Return what is worth a column: latency and size, the work where a step changed it, the metric if there is one."""
    found = (_latency(), _size(), _macs(report), _metric(report))
    return tuple(_column(report, one) for one in found if one is not None)


def stages(report: Report) -> tuple[tuple[StoryRow, tuple[Bar, ...]], ...]:
    """Return each stage with its bars, in the order of ``columns``."""
    rows = facts.stages(report)
    return tuple(zip(rows, zip(*(one.bars for one in columns(report)), strict=True), strict=True))


def is_torn(report: Report) -> bool:
    """Whether an axis is broken."""
    return any(bar.torn for column in columns(report) for bar in column.bars)


def _latency() -> _Quantity:
    return _Quantity(
        "Latency p50",
        lambda stage: stage.latency.p50 if stage.latency else None,
        lambda stage: stage.latency.ci95.get("p50") if stage.latency else None,
        facts.ms,
    )


def _size() -> _Quantity:
    return _Quantity("Size", lambda stage: stage.size_bytes, lambda _: None, lambda value: facts.size(round(value)))


def _macs(report: Report) -> _Quantity | None:
    """Multiplications, unless they are the same at every stage or could not be counted."""
    work = facts.work(report)
    if work is None or len({one.macs for one in facts.stages(report) if one.macs is not None and one.kept}) < 2:
        return None
    return _Quantity(
        work, lambda stage: stage.macs, lambda _: None, lambda value: facts.macs(round(value)), absent="unknown"
    )


def _metric(report: Report) -> _Quantity | None:
    scored = [stage.accuracy for stage in facts.stages(report) if stage.accuracy is not None]
    if not scored:
        return None
    return _Quantity(
        facts.upper_first(facts.metric_name(report)),
        lambda stage: stage.accuracy.value if stage.accuracy else None,
        lambda stage: stage.accuracy.ci95 if stage.accuracy else None,
        lambda value: facts.metric_value(value, scored[0].metric),
        better=1,
        dots=True,
    )


def _column(report: Report, quantity: _Quantity) -> Column:
    rows = facts.stages(report)
    axis = _dot_axis(rows, quantity) if quantity.dots else _Axis(0.0, _top(report, rows, quantity))
    level, bars = None, []
    for stage in rows:
        bars.append(_bar(stage, level, quantity, axis))
        level = _after(stage, level, quantity)
    return Column(quantity.title, tuple(bars), quantity.dots)


def _top(report: Report, rows: Sequence[StoryRow], quantity: _Quantity) -> float:
    """Return the axis's end: beyond a reference only where that leaves the others room."""
    most = max(_values(rows, quantity), default=0.0)
    aside = {stage.label for stage in rows if stage.part == "reference"} - {report.speedup.vs}
    rest = max(_values((stage for stage in rows if stage.label not in aside), quantity), default=0.0)
    return (1.25 * rest if rest > 0 and most > _TEARS * rest else most) or 1.0


def _dot_axis(rows: Sequence[StoryRow], quantity: _Quantity) -> _Axis:
    known = [interval for one in rows if (interval := quantity.interval(one)) is not None]
    low, high = min(one[0] for one in known), max(one[1] for one in known)
    pad = 0.06 * (high - low) or 0.01
    return _Axis(low - pad, high + pad)


def _values(rows: Iterable[StoryRow], quantity: _Quantity) -> list[float]:
    return [value for one in rows if (value := quantity.value(one)) is not None]


def _after(stage: StoryRow, level: _Level | None, quantity: _Quantity) -> _Level | None:
    """The steps start from the first reference; then each kept step moves the level."""
    value = quantity.value(stage)
    if value is None or not stage.kept or (stage.part == "reference" and level is not None):
        return level
    return _Level(value, quantity.interval(stage))


def _bar(stage: StoryRow, level: _Level | None, quantity: _Quantity, axis: _Axis) -> Bar:
    value = quantity.value(stage)
    before = level if level is not None and stage.part != "reference" else None
    came_from = axis.share(before.value) if before is not None else None
    if value is None:
        return Bar(quantity.absent if stage.kept else "", came_from=came_from)
    role = _judged(value, stage, before, quantity) if stage.part == "step" else stage.part
    change = _change(value, before) if role in ("good", "bad") and stage.kept and not quantity.dots else ""
    text, shown = quantity.text(value), role if stage.kept else "muted"
    if quantity.dots:
        low, high = quantity.interval(stage) or (value, value)
        return Bar(
            text, change, shown, dot=axis.share(value), span=(axis.share(low), axis.share(high)), came_from=came_from
        )
    rest, moved = _parts(stage, axis.share(value), came_from)
    return Bar(text, change, shown, rest=rest, moved=moved, came_from=came_from, torn=value > axis.high)


def _parts(
    stage: StoryRow, end: float, came_from: float | None
) -> tuple[tuple[float, float], tuple[float, float] | None]:
    """A step's bar is what is left and what it moved; any other reaches from zero."""
    if stage.part != "step" or came_from is None or end == came_from:
        return (0.0, end), None
    return (0.0, min(end, came_from)), (min(end, came_from), max(end, came_from))


def _change(value: float, before: _Level | None) -> str:
    if before is None or before.value <= 0:
        return ""
    share = 100 * (value / before.value - 1)
    if share > _MOST_PERCENT:
        return facts.ratio(value / before.value)
    return f"{share:+.0f} %".replace("-", "\u2212") if round(share) else ""


def _judged(value: float, stage: StoryRow, level: _Level | None, quantity: _Quantity) -> str:
    """Return the colour of a change: none where the two intervals overlap, since it may be noise."""
    if level is None or value == level.value:
        return "reference"
    interval = quantity.interval(stage)
    if interval and level.interval and interval[0] <= level.interval[1] and level.interval[0] <= interval[1]:
        return "reference"
    return "good" if (value - level.value) * quantity.better > 0 else "bad"
