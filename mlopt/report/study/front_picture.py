"""The front of a study in one picture: latency to the right, quality upwards, and size as the area of a point.

The front is of four figures, the line of two: a trial may lie beyond the line and still be beaten by none, for its size
or its memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from mlopt.report import facts
from mlopt.report.labels import Spot, placed
from mlopt.report.study import rows
from mlopt.report.study.analysis import Quality, quality
from mlopt.report.study.canvas import HoverSpot, KeyEntry, Plane, hovered, key_height
from mlopt.report.study.rows import TrialRow
from mlopt.report.svg import Drawing, Margins, Scale, colour, draw
from mlopt.report.tried_picture import runtime_looks
from mlopt.results.study import StudyRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEIGHT, _EDGE, _RING = 236.0, 14.0, 9.5
_MARGINS = Margins(left=58, right=16, top=4, bottom=38)
_MOST, _MOST_LABELS = 400, 14
_LEAST_MS, _MOST_MS, _MOST_QUALITY = 1e-6, 1e9, 1e9
"""Figures beyond these are no measurements."""
_EQUAL = 1e-7
_SMALLEST, _LARGEST = 5.0, 12.0
"""Diameters."""
_HOLLOW = ("not valid", "not judged")


@dataclass(frozen=True)
class _Upwards:
    """The axis of quality: where a value stands, 0 at the lower end and 1 at the upper, and what is written there."""

    share: Callable[[float], float]
    ticks: tuple[tuple[float, str], ...]
    lowest: float


@dataclass(frozen=True)
class _Dot:
    row: TrialRow
    x: float
    y: float
    size: float


def picture(record: StudyRecord, listed: Sequence[TrialRow]) -> Drawing | None:
    """Draw what has both a latency and a quality, at most four hundred; None where nothing has."""
    kind = rows.measure(record)
    both = [(row, row.one.latency_ms or 0.0, quality(row.one, kind)) for row in listed]
    drawn = [(row, ms, good) for row, ms, good in both if good is not None and _is_drawn(ms, good)][:_MOST]
    if not drawn:
        return None
    times, name = [ms for _, ms, _ in drawn], rows.quality_name(record)
    across, up = Scale.over(min(times), max(times), " ms", pad=0.09), _upwards(kind, record, drawn)
    looks = runtime_looks(sorted({row.runtime for row, _, _ in drawn}))
    keys = {runtime: KeyEntry(runtime or "not said", look.marker, look.role) for runtime, look in looks.items()}
    top, largest = key_height([*keys.values()][:6]), max((row.one.size_bytes or 0) for row, _, _ in drawn) or 1
    dots = [
        _Dot(row, across.share(ms) * _MARGINS.inner,
             top + _EDGE + (1 - max(0.0, up.share(good))) * (_HEIGHT - 2 * _EDGE), _diameter(row, largest))
        for row, ms, good in drawn
    ]  # fmt: skip

    def paint(axes: Axes) -> None:
        plane = Plane(axes, _MARGINS)
        across.show(axes)
        axes.axhspan(0, top, color=colour("paper"), zorder=1)
        _ground(plane, up, top, name)
        line = _corners(dots)
        plane.plot(line, color=colour("final"), linewidth=1.3, zorder=2)
        for dot in reversed(dots):
            _dot(plane, dot, keys[dot.row.runtime])
        _labels(plane, dots, line, (top, top + _HEIGHT))
        plane.key([*keys.values()][:6])

    title = f"Latency against {name[:1].lower()}{name[1:]}"
    below = sum(good < up.lowest for _, _, good in drawn)
    caption = _caption(len(listed) - len(dots), below, log=across.log)
    svg = draw("front", title, top + _HEIGHT, _MARGINS, paint, caption)
    spots = [HoverSpot(dot.x, dot.y, _words(dot.row, name)) for dot in reversed(dots)]
    return Drawing(title, caption, hovered(svg, spots, _MARGINS))


def _is_drawn(ms: float, good: float) -> bool:
    return _LEAST_MS < ms < _MOST_MS and abs(good) < _MOST_QUALITY


def _upwards(kind: Quality, record: StudyRecord, drawn: Sequence[tuple[TrialRow, float, float]]) -> _Upwards:
    values = [good for _, _, good in drawn]
    if kind == "fidelity":
        return _by_nines(values)
    useful = [good for row, _, good in drawn if row.one.valid or row.is_recipe] or values
    high, low = max(values), min(useful)
    low = max(min(values), low - 1.5 * max(high - low, 0.01 * abs(high)))
    metric = next(one.accuracy.metric for one in record.trials if one.status == "measured" and one.accuracy)
    room = max(0.05 * abs(low), 1e-3) if high - low <= 1e-9 * max(1.0, abs(high)) else 0.0
    scale = Scale(low - room, high + room)
    return _Upwards(scale.share, _ticks(scale, metric), low)


def _ticks(scale: Scale, metric: str) -> tuple[tuple[float, str], ...]:
    """Return round values with as many digits as tell them apart; a metric is never on a logarithmic axis."""
    from matplotlib.ticker import MaxNLocator

    found = [float(one) for one in MaxNLocator(5, steps=(1, 2, 5, 10)).tick_values(scale.low, scale.high)]
    as_percent = metric in facts.PERCENT_METRICS
    shown = [one * 100 if as_percent else one for one in found]
    step = min((abs(b - a) for a, b in pairwise(shown) if b != a), default=1.0)
    digits = max(0, min(6, math.ceil(-math.log10(step) + 0.3)))
    texts = [f"{one:.{digits}f}{' %' if as_percent else ''}" if abs(one) < 1e6 else f"{one:.3g}" for one in shown]
    return tuple((one, text) for one, text in zip(found, texts, strict=True) if scale.low <= one <= scale.high)


def _by_nines(values: Sequence[float]) -> _Upwards:
    """Distance from 1 on a logarithmic axis: 0.99 and 0.9999 are as far apart as they are for who has to choose."""
    exponents = [_exponent(one) for one in values]
    best, worst = math.floor(min(exponents)), math.ceil(max(exponents))
    worst = max(worst, best + 1)

    def share(value: float) -> float:
        return (worst - _exponent(value)) / (worst - best)

    def text(exponent: int) -> str:
        return "equal" if exponent <= math.log10(_EQUAL) else "0" if exponent == 0 else f"0.{'9' * -exponent}"

    ticks = tuple((1 - 10.0**exponent, text(exponent)) for exponent in range(best, worst + 1))
    return _Upwards(share, ticks, -math.inf)


def _exponent(value: float) -> float:
    return math.log10(min(max(1 - value, _EQUAL), 1.0))


def _diameter(row: TrialRow, largest: int) -> float:
    if row.one.size_bytes is None:
        return _SMALLEST
    return max(_SMALLEST, _LARGEST * math.sqrt(row.one.size_bytes / largest))


def _ground(plane: Plane, up: _Upwards, top: float, name: str) -> None:
    for value, text in up.ticks:
        y = top + _EDGE + (1 - up.share(value)) * (_HEIGHT - 2 * _EDGE)
        plane.axes.axhline(y, color=colour("line"), linewidth=0.7, zorder=0.5)
        plane.text(text, 0, y, dx=-7, align="right", role="muted")
    plane.text(f"→ latency, ↑ {facts.shorten(name, 18).lower()}", _MARGINS.inner, top + _HEIGHT + 29,
               align="right", role="muted")  # fmt: skip


def _corners(dots: Sequence[_Dot]) -> list[tuple[float, float]]:
    """Return the corners of the line, as steps, from the fastest valid trial to the truest."""
    found: list[_Dot] = []
    for dot in sorted((one for one in dots if one.row.one.valid), key=lambda one: (one.x, one.y)):
        if not found or dot.y < found[-1].y:
            found.append(dot)
    spots = [(dot.x, dot.y) for dot in found]
    return [*(one for before, after in pairwise(spots) for one in (before, (after[0], before[1]))), *spots[-1:]]


def _dot(plane: Plane, dot: _Dot, entry: KeyEntry) -> None:
    """Filled on the front, faint where another beats it, hollow where it may not be shipped, a cross where given up."""
    row, at = dot.row, (dot.x, dot.y)
    if row.standing in ("stopped", "failed"):
        plane.mark(at, KeyEntry("", "x", "muted"), 5.5, 2.5)
        return
    if row.standing == "best" or row.is_recipe:
        ring = colour("final" if row.standing == "best" else "muted")
        plane.plot([at], "o", markersize=2 * _RING, zorder=3, markerfacecolor=colour("paper"),
                   markeredgecolor=ring, markeredgewidth=2.2 if row.standing == "best" else 1.2)  # fmt: skip
    if row.standing == "valid":
        plane.plot([at], entry.marker, markersize=dot.size, zorder=3.5, alpha=0.38, color=colour(entry.role),
                   markeredgewidth=0)  # fmt: skip
    else:
        hollow = KeyEntry("", entry.marker, entry.role, hollow=row.standing in _HOLLOW)
        plane.mark(at, hollow, dot.size, 3.2 if hollow.hollow else 4)


def _labels(plane: Plane, dots: Sequence[_Dot], line: Sequence[tuple[float, float]], ends: tuple[float, float]) -> None:
    named = [dot for dot in dots if dot.row.standing in ("best", "on the front") or dot.row.is_recipe]
    spots = [_spot(dot) for dot in named[:_MOST_LABELS]]
    avoid = [(min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1])) for a, b in pairwise(line)]
    avoid += [(dot.x - 4, dot.y - 4, dot.x + 4, dot.y + 4) for dot in dots if dot not in named]
    for label in placed(spots, (2, ends[0] + 2, _MARGINS.inner - 2, ends[1] - 2), avoid):
        if label.far:
            plane.plot([(label.spot.x, label.spot.y), label.edge], color=colour("muted"), linewidth=0.6, zorder=2)
        role = "final" if label.spot.bold and "best" in label.spot.text else "ink"
        plane.text(label.spot.text, label.x, label.y, align="center", bold=label.spot.bold, role=role)


def _spot(dot: _Dot) -> Spot:
    words = [f"{dot.row.number}"]
    words += ["best"] if dot.row.standing == "best" else []
    words += ["recipe"] if dot.row.is_recipe else []
    return Spot(dot.x, dot.y, " ".join(words), _RING + 1 if len(words) > 1 else dot.size / 2, bold=len(words) > 1)


def _words(row: TrialRow, name: str) -> tuple[str, ...]:
    """Return what a pointer brings up."""
    memory = f", {row.memory} of memory" if row.memory else ""
    return tuple(
        line for line in (
            f"Trial {row.number}, {row.standing}{', the recipe' if row.is_recipe else ''}",
            row.point,
            f"{row.latency}{f', {row.speedup} ({row.interval})' if row.interval else ''}, {row.runtime}",
            f"{name} {row.quality}, {row.size}{memory}",
            row.why,
        ) if line
    )  # fmt: skip


def _caption(absent: int, below: int, *, log: bool) -> str:
    parts = [
        "Left is faster, up is better; the larger a point, the larger the model.",
        "Full colour: no trial beats it in latency, quality, size and memory at once.",
        "Faint: valid, but beaten. Hollow: not valid. Cross: given up.",
    ]
    parts += ["Latency on a logarithmic axis."] if log else []
    parts += [f"Drawn at the lower edge, though they lie below it: {below:,}."] if below else []
    parts += [f"Without a latency or a quality, so not drawn: {absent:,}."] if absent else []
    return " ".join(parts)
