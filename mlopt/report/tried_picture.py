"""What was tried, in one picture: how fast each deployable is against how true it is to the source model.

The list beside it has the numbers that stand at the points. Fidelity is drawn as its distance from perfect, on a
logarithmic axis, so that 0.99 and 0.9999 are as far apart as they are for who has to choose between them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from mlopt.report import facts, tried, trust
from mlopt.report.labels import Spot, placed
from mlopt.report.svg import WIDTH, Drawing, Margins, Scale, colour, draw, write
from mlopt.report.tried import TriedRow
from mlopt.results.figures import Fidelity
from mlopt.results.report import GateVerdict, Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TITLE = "Latency against fidelity"
_HEIGHT = 236.0
_KEY = 19.0
"""Height of one line of the key above the drawing."""
_MARGINS = Margins(left=66, right=14, top=4, bottom=24)
_EQUAL = 1e-7
"""Distances are drawn no smaller: float32 keeps seven digits."""
_LEAST_MS, _MOST_MS = 1e-6, 1e9
"""Latencies beyond these are no measurements."""
_EDGE = 10.0
_RING = 8.5
_KEY_COLUMNS = 3


@dataclass(frozen=True)
class RuntimeLook:
    """The role of a runtime's colour, and its marker: for the picture, and as a character."""

    role: str
    marker: str
    sign: str


_LOOKS = (
    RuntimeLook("hue-a", "o", "●"), RuntimeLook("hue-b", "s", "■"), RuntimeLook("hue-c", "^", "▲"),
    RuntimeLook("hue-d", "D", "◆"), RuntimeLook("muted", "v", "▼"),
)  # fmt: skip
"""In the order in which the runtimes appear; the last stands for all further ones."""


@dataclass(frozen=True)
class _Measure:
    """A figure of fidelity as a distance from perfect."""

    metric: str
    name: str
    distance: Callable[[Fidelity], float]
    of_limit: Callable[[float], float]
    tick: Callable[[int], str]
    """The label at a distance of ten to minus so many."""


_COSINE = _Measure(
    "fidelity.cosine", "cosine similarity", lambda found: 1 - found.cosine, lambda limit: 1 - limit,
    lambda nines: "0" if nines == 0 else f"0.{'9' * nines}",
)  # fmt: skip
_SQNR = _Measure(
    "fidelity.sqnr_db", "SQNR", lambda found: found.relative_error,
    lambda limit: 10 ** (max(-1e3, min(-limit, 1e3)) / 20),
    lambda nines: f"{20 * nines} dB",
)  # fmt: skip
_ERROR = _Measure(
    "fidelity.relative_error", "relative error", lambda found: found.relative_error, lambda limit: limit,
    lambda nines: f"{10.0**-nines:.10g}",
)  # fmt: skip


@dataclass(frozen=True)
class _Point:
    """A deployable in the drawing, in units from its upper left corner."""

    row: TriedRow
    x: float
    y: float


@dataclass(frozen=True)
class _Chart:
    """The axes of the drawing: latency to the right, distance from perfect downwards."""

    looks: Mapping[str, RuntimeLook]
    measure: _Measure
    limit: GateVerdict | None
    scale: Scale
    ends: tuple[int, int]
    """Exponents of ten at the upper and the lower end."""

    @property
    def top(self) -> float:
        """Where the drawing begins, below the key."""
        return _KEY * len(_key_lines(self.looks))

    @property
    def bottom(self) -> float:
        return self.top + _HEIGHT

    def y(self, distance: float) -> float:
        best, worst = self.ends
        return self.top + _EDGE + (_exponent(distance) - best) / (worst - best) * (_HEIGHT - 2 * _EDGE)


def picture(report: Report, listed: Sequence[TriedRow]) -> Drawing | None:
    """Draw what is listed and has both a latency and a fidelity; None where nothing has."""
    rows = [(row, row.one.latency_ms or 0.0, row.one.fidelity) for row in listed]
    drawn = [(row, ms, found) for row, ms, found in rows if found is not None and _LEAST_MS < ms < _MOST_MS]
    if not drawn:
        return None
    chart = _chart(report, looks(report, listed), [ms for _, ms, _ in drawn], [found for _, _, found in drawn])
    points = [
        _Point(row, chart.scale.share(ms) * _MARGINS.inner, chart.y(chart.measure.distance(found)))
        for row, ms, found in drawn
    ]

    def paint(axes: Axes) -> None:
        _ground(axes, chart)
        front = _corners(points)
        _plot(axes, front, color=colour("ink"), linewidth=1.1, linestyle=(0, (4, 2)), zorder=2)
        for point in points:
            _point(axes, chart, point)
        _numbers(axes, chart, points, front)
        _key(axes, chart)

    caption = _caption(chart, len(report.tried) - len(points))
    svg = draw("tried", _TITLE, chart.bottom, _MARGINS, paint, f"{caption} {_told(points)}")
    return Drawing(_TITLE, caption, svg)


def looks(report: Report, rows: Sequence[TriedRow]) -> dict[str, RuntimeLook]:
    """Return how the runtimes of these rows look, that of the baseline always the same."""
    return runtime_looks((report.baseline.runtime, *(row.one.runtime for row in rows)))


def runtime_looks(names: Iterable[str]) -> dict[str, RuntimeLook]:
    """Return a look for each name, in the order in which they first appear; all further ones share the last."""
    runtimes = dict.fromkeys(names)
    return {name: _LOOKS[min(place, len(_LOOKS) - 1)] for place, name in enumerate(runtimes)}


def _chart(
    report: Report, known: Mapping[str, RuntimeLook], times: Sequence[float], found: Sequence[Fidelity]
) -> _Chart:
    measure, limit, bound = _measured_by(report)
    exponents = [_exponent(one) for one in (*map(measure.distance, found), *([bound] if limit else []))]
    best, worst = math.floor(min(exponents)), math.ceil(max(exponents))
    scale = Scale.over(min(times), max(times), " ms", pad=0.09)
    return _Chart(known, measure, limit, scale, (best, worst) if worst - best > 1 else (worst - 2, worst))


def _measured_by(report: Report) -> tuple[_Measure, GateVerdict | None, float]:
    """Return the figure to draw, that of a gate if there is one, with the gate and its limit as a distance."""
    for measure in (_COSINE, _SQNR, _ERROR):
        for gate in report.gates:
            limit = trust.limit(gate) if gate.metric == measure.metric else None
            if limit is not None:
                return measure, gate, measure.of_limit(limit[1])
    return _COSINE, None, 1.0


def _exponent(distance: float) -> float:
    return math.log10(min(max(distance, _EQUAL), 1.0))


def _plot(axes: Axes, corners: Sequence[tuple[float, float]], marker: str = "", **style: Any) -> None:
    """Plot what is given in units."""
    xs, ys = [x / _MARGINS.inner for x, _ in corners], [y for _, y in corners]
    axes.plot(xs, ys, marker=marker, transform=axes.get_yaxis_transform(), clip_on=False, **style)


def _ground(axes: Axes, chart: _Chart) -> None:
    """Draw the axes, the limit, and in a tint what lies on its wrong side."""
    chart.scale.show(axes)
    axes.axhspan(0, chart.top, color=colour("paper"), zorder=1)
    best, worst = chart.ends
    for exponent in range(best, worst + 1):
        y = chart.y(10.0**exponent)
        axes.axhline(y, color=colour("line"), linewidth=0.7, zorder=0.5)
        text = "equal" if 10.0**exponent < 1.01 * _EQUAL else chart.measure.tick(-exponent)
        write(axes, text, 0, y, dx=-7, align="right", role="muted")
    found = trust.limit(chart.limit) if chart.limit is not None else None
    if found is not None:
        y = chart.y(chart.measure.of_limit(found[1]))
        axes.axhspan(y, chart.bottom, color=colour("bad-soft"), zorder=0)
        axes.axhline(y, color=colour("bad"), linewidth=1.2, zorder=1)


def _corners(points: Sequence[_Point]) -> list[tuple[float, float]]:
    """Return the corners of the line that no valid deployable is beyond, as steps."""
    numbers = [row.number for row in tried.front(point.row for point in points)]
    spots = [(point.x, point.y) for number in numbers for point in points if point.row.number == number]
    return [*(one for before, after in pairwise(spots) for one in (before, (after[0], before[1]))), *spots[-1:]]


def _point(axes: Axes, chart: _Chart, point: _Point) -> None:
    """Full if it may be shipped, hollow if not; what is shipped has a ring."""
    look, at = chart.looks[point.row.one.runtime], [(point.x, point.y)]
    if point.row.standing == "shipped":
        ring = {"markerfacecolor": colour("paper"), "markeredgecolor": colour("final"), "markeredgewidth": 2.2}
        _plot(axes, at, "o", markersize=2 * _RING, zorder=3, **ring)
    face = colour(look.role if point.row.standing in ("shipped", "valid") else "paper")
    edge = {"markerfacecolor": face, "markeredgecolor": colour(look.role), "markeredgewidth": 1.4}
    _plot(axes, at, look.marker, markersize=7.5, zorder=4, **edge)


def _numbers(axes: Axes, chart: _Chart, points: Sequence[_Point], front: Sequence[tuple[float, float]]) -> None:
    """Write at each point its number in the list, where that hides nothing."""
    spots = [
        Spot(each.x, each.y, f"{each.row.number} shipped", _RING + 1.5, bold=True)
        if each.row.standing == "shipped"
        else Spot(each.x, each.y, f"{each.row.number}", 4.5)
        for each in points
    ]
    lines = [
        (min(one[0], two[0]), min(one[1], two[1]), max(one[0], two[0]), max(one[1], two[1]))
        for one, two in pairwise(front)
    ]
    for label in placed(spots, (2, chart.top + 2, _MARGINS.inner - 2, chart.bottom - 2), lines):
        bold = label.spot.bold
        if label.far:
            _plot(axes, [(label.spot.x, label.spot.y), label.edge], color=colour("muted"), linewidth=0.6, zorder=2)
        write(
            axes, label.spot.text, label.x / _MARGINS.inner, label.y, align="center", bold=bold,
            role="final" if bold else "ink",
        )  # fmt: skip


def _key_lines(known: Mapping[str, RuntimeLook]) -> list[list[tuple[str, RuntimeLook]]]:
    """Return the runtimes with their looks, as many on a line as fit; those that look alike are one entry."""
    alike = Counter(known.values())
    names = {look: "others" if alike[look] > 1 else facts.shorten(name, 15) for name, look in known.items()}
    shown = [(name, look) for look, name in names.items()]
    return [shown[start : start + _KEY_COLUMNS] for start in range(0, len(shown), _KEY_COLUMNS)]


def _key(axes: Axes, chart: _Chart) -> None:
    for line, entries in enumerate(_key_lines(chart.looks)):
        for place, (name, look) in enumerate(entries):
            x, y = place / _KEY_COLUMNS * (WIDTH - 12) - (_MARGINS.left - 10), line * _KEY + _KEY / 2 - 3
            _plot(axes, [(x, y)], look.marker, color=colour(look.role), markersize=7, zorder=4)
            write(axes, name, x / _MARGINS.inner, y, dx=9)


def _caption(chart: _Chart, absent: int) -> str:
    parts = [
        f"Left is faster, up is closer to the source model ({chart.measure.name}); the numbers are those of the list.",
        "Filled may be shipped, hollow not; no valid one lies beyond the dashed line.",
    ]
    if chart.limit is not None:
        parts.append(f"The tinted side breaks the gate {chart.limit.metric} {chart.limit.limit}.")
    if chart.scale.log:
        parts.append("Latency on a logarithmic axis.")
    if absent:
        parts.append(f"Not drawn, for want of a latency or a fidelity, or of room in the list: {absent:,}.")
    return " ".join(parts)


def _told(points: Sequence[_Point]) -> str:
    """Return the points in words, for who cannot see them."""
    return " ".join(
        f"{row.number}: {row.form} in {' '.join((row.runtime, row.options)).strip()}, {row.latency}, "
        f"cosine {row.cosine}, {row.standing}."
        for row in (point.row for point in points)
    )
