"""The models under load: latency against throughput, as batches or clients grow.

A model that is faster alone may not be under load. What does not grow along a line has a picture for each of its
settings, all on the same pair of axes, so that pictures side by side can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

from mlopt.report import facts
from mlopt.report.svg import Drawing, Margins, Scale, colour, draw
from mlopt.results.figures import SweepPoint
from mlopt.results.report import Report
from mlopt.results.section import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TITLE = "Latency against throughput"
_MEANING = {
    "batch_size": "the batch size",
    "concurrency": "how many clients ask at once",
    "threads": "how many threads one inference has",
}
"""What a sweep varies: the first that it did grows along the lines."""
_HEIGHT = 190.0
_LEFT = 48.0
_KEY = 18.0
"""Height of one line of the key above the axes."""
_AXES = {
    (False, False): "The axes do not start at zero.",
    (True, False): "The horizontal axis is logarithmic.",
    (False, True): "The vertical axis is logarithmic.",
    (True, True): "Both axes are logarithmic.",
}
_MARKS = ("s", "^", "D", "v", "P", "X")


@dataclass(frozen=True)
class LoadCurve:
    """All points of one model."""

    name: str
    points: tuple[SweepPoint, ...]


@dataclass(frozen=True)
class _Point:
    """One model at one load, to be drawn."""

    name: str
    number: int
    """Its place along the line, such as the batch size."""
    setting: tuple[int, ...]
    """What chooses its picture."""
    rate: float
    median: float
    interval: Interval


@dataclass(frozen=True)
class _Look:
    """How the line of one model is drawn."""

    role: str
    mark: str
    side: Literal[-1, 1]
    """Whether its numbers stand above (-1) or below (1) the line."""


def loads(report: Report) -> tuple[LoadCurve, ...]:
    """Return the sweep by model, in the order of the report."""
    order = attrgetter("threads", "concurrency", "batch_size")
    names = dict.fromkeys(point.name for point in report.sweep)
    return tuple(
        LoadCurve(name, tuple(sorted((point for point in report.sweep if point.name == name), key=order)))
        for name in names
    )


def varied(report: Report) -> tuple[str, ...]:
    """Return which of batch size, concurrency and threads have more than one value in the sweep."""
    return tuple(one for one in _MEANING if len({getattr(point, one) for point in report.sweep}) > 1)


def fixed(report: Report) -> str:
    """Return what was the same at every point, such as ``1 client, 2 threads``."""
    same = (one for one in _MEANING if report.sweep and one not in varied(report))
    return ", ".join(_words(one, getattr(report.sweep[0], one)) for one in same)


def curves(report: Report) -> tuple[Drawing, ...]:
    """Draw throughput and median latency of each model, a picture for each setting; none without a sweep."""
    along, *rest = varied(report) or ("batch_size",)
    points = _points(report, along, rest)
    if not points:
        return ()
    rates = [point.rate for point in points]
    times = [end for point in points for end in (point.median, *point.interval)]
    scales = Scale.over(min(rates), max(rates), pad=0.1), Scale.over(min(times), max(times), pad=0.1)
    pictures = []
    for index, setting in enumerate(sorted({point.setting for point in points})):
        words = ", ".join(_words(one, value) for one, value in zip(rest, setting, strict=True))
        chosen = [point for point in points if point.setting == setting]
        title = f"{_TITLE}, {words}" if words else _TITLE
        svg = _curve(report, (f"load{index}", title), chosen, scales)
        pictures.append(Drawing(title, _caption(along, scales) if index == 0 else "", svg))
    return tuple(pictures)


def _caption(along: str, scales: tuple[Scale, Scale]) -> str:
    """Return how to read the first picture; the others read the same."""
    return (
        f"The number beside a point is {_MEANING[along]}. Further right is more work done, lower is sooner done. "
        f"{_AXES[scales[0].log, scales[1].log]}"
    )


def _words(what: str, value: int) -> str:
    """Return a setting, such as ``2 threads``."""
    if what == "batch_size":
        return f"batch size {value:,}"
    noun = {"concurrency": "client", "threads": "thread"}[what]
    return f"{value:,} {noun}{'' if value == 1 else 's'}"


def _points(report: Report, along: str, rest: Sequence[str]) -> list[_Point]:
    """Return the points to draw, in the order in which a line joins them; one without a median cannot be drawn."""
    found = [
        _Point(
            name=point.name,
            number=getattr(point, along),
            setting=tuple(getattr(point, one) for one in rest),
            rate=point.throughput_per_s,
            median=median,
            interval=point.latency_ms.ci95.get("p50", (median, median)),
        )
        for point in report.sweep
        if (median := point.latency_ms.p50) is not None
    ]
    return sorted(found, key=attrgetter("number"))


def _curve(report: Report, name: tuple[str, str], points: Sequence[_Point], scales: tuple[Scale, Scale]) -> str:
    """``name`` is the id and the title of the picture."""
    present = {point.name for point in points}
    lines = [load.name for load in loads(report) if load.name in present]

    def paint(axes: Axes) -> None:
        scales[0].show(axes, "x")
        scales[1].show(axes, "y")
        for index, model in enumerate(lines):
            look = _look(report, model, index)
            _key(axes, index - len(lines), model, look)
            _line(axes, [point for point in points if point.name == model], look)
        _put(axes, "p50, ms", 0, 1 + 9 / _HEIGHT, dx=-_LEFT + 2)
        _put(axes, "samples per second", 1, -30 / _HEIGHT, align="right")

    margins = Margins(left=_LEFT, right=22, top=len(lines) * _KEY + 20, bottom=38)
    return draw(*name, _HEIGHT, margins, paint)


def _look(report: Report, model: str, index: int) -> _Look:
    """The final model looks as everywhere; the others are told apart by their marks."""
    if model == report.final.name:
        return _Look("final", "o", 1)
    return _Look("muted" if model == report.baseline.name else "reference", _MARKS[index % len(_MARKS)], -1)


def _line(axes: Axes, points: Sequence[_Point], look: _Look) -> None:
    role = colour(look.role)
    axes.plot([one.rate for one in points], [one.median for one in points], color=role, linewidth=1.6, zorder=2)
    for one in points:
        axes.plot((one.rate, one.rate), one.interval, color=role, linewidth=3, solid_capstyle="butt", zorder=2)
        axes.plot(one.rate, one.median, look.mark, color=role, markersize=6.5, zorder=3)
        shift, align = (5 * look.side, "left" if look.side > 0 else "right")
        axes.annotate(
            f"{one.number:,}", (one.rate, one.median), xytext=(shift, -9 * look.side), textcoords="offset points",
            ha=align, va="center", color=colour("muted" if look.role == "reference" else look.role), zorder=4,
        )  # fmt: skip


def _key(axes: Axes, row: int, name: str, look: _Look) -> None:
    """One line of the key, at ``row`` lines below the top of the axes (negative: above it)."""
    y = 1 + (-row * _KEY + 6) / _HEIGHT
    place: dict[str, Any] = {"color": colour(look.role), "transform": axes.transAxes, "clip_on": False}
    axes.plot((0, 0.08), (y, y), linewidth=1.6, **place)
    axes.plot(0.04, y, look.mark, markersize=6.5, **place)
    _put(axes, facts.short_name(name, 32), 0.11, y, bold=look.role == "final")


def _put(
    axes: Axes, text: str, x: float, y: float, *, dx: float = 0.0, bold: bool = False,
    align: Literal["left", "right"] = "left",
) -> None:  # fmt: skip
    """Put text at a share of the axes' width and height."""
    axes.annotate(
        text, (x, y), xycoords="axes fraction", xytext=(dx, 0), textcoords="offset points", ha=align, va="center",
        color=colour("ink" if bold else "muted"), fontweight="bold" if bold else "normal", annotation_clip=False,
    )  # fmt: skip
