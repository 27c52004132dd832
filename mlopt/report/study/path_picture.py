"""The path of the search: what each trial came to, when, and who proposed it; the line is the best that was valid."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from mlopt.report import facts
from mlopt.report.study.canvas import HoverSpot, KeyEntry, Plane, hovered, key_height
from mlopt.report.study.rows import TrialRow, duration
from mlopt.report.svg import Drawing, Margins, Scale, colour, draw
from mlopt.results.study import StudyRecord, TrialRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ORIGINS = {
    "recipe": KeyEntry("recipe", "D", "ink"),
    "prior": KeyEntry("prior", "s", "hue-b"),
    "earlier study": KeyEntry("earlier study", "^", "hue-c"),
    "search": KeyEntry("search", "o", "final"),
}
_OTHER = KeyEntry("others", "v", "muted")
_ENDS = {"stopped": KeyEntry("stopped", "x", "warn"), "failed": KeyEntry("failed", "x", "bad")}
_HEIGHT, _STRIP = 217.0, 24.0
_MARGINS = Margins(left=58, right=16, top=4, bottom=38)
_MOST, _MOST_SECONDS = 600, 1e9


@dataclass(frozen=True)
class _Event:
    row: TrialRow
    at: float
    """Seconds since the beginning, at its end."""
    value: float | None


def picture(record: StudyRecord, listed: Sequence[TrialRow]) -> Drawing | None:
    """Draw every trial that was raced against the time, and in a strip below those that were not; None without any."""
    by_size = record.objective == "size"
    events = sorted((_event(row, by_size=by_size) for row in listed), key=lambda one: (one.at, one.row.number))
    events = [one for one in events if 0 <= one.at < _MOST_SECONDS][:_MOST]
    values = [one.value for one in events if one.value is not None]
    if not values:
        return None
    unit, seconds = _unit(max(one.at for one in events))
    across = Scale.over(0.0, max(one.at for one in events) / seconds, f" {unit}")
    up = Scale.over(min(values), max(values), pad=0.05)
    keys = _keys(events)
    top = key_height(keys)

    def place(one: _Event) -> tuple[float, float]:
        x = across.share(one.at / seconds) * _MARGINS.inner
        return x, top + _HEIGHT - _STRIP / 2 if one.value is None else _y(up, one.value, top)

    def paint(axes: Axes) -> None:
        plane = Plane(axes, _MARGINS)
        across.show(axes)
        axes.axhspan(0, top, color=colour("paper"), zorder=1)
        _ground(plane, up, top, "size" if by_size else "latency")
        plane.plot(_line(events, place), color=colour("ink"), linewidth=1.4, zorder=2)
        for one in events:
            plane.mark(place(one), _look(one), 6 if one.value is not None else 5)
        plane.key(keys)

    title, caption = "The path of the search", _caption(events, log=up.log)
    svg = draw("path", title, top + _HEIGHT, _MARGINS, paint, caption)
    return Drawing(title, caption, hovered(svg, [HoverSpot(*place(one), _words(one)) for one in events], _MARGINS))


def _event(row: TrialRow, *, by_size: bool) -> _Event:
    value = row.one.size_bytes if by_size else row.one.latency_ms
    shown = row.one.status == "measured" and value is not None and 1e-6 < value < 1e15
    scaled = (value / 1e6 if by_size else value) if shown and value is not None else None
    return _Event(row, row.one.began_s + row.one.seconds, scaled)


def _unit(longest: float) -> tuple[str, float]:
    return ("s", 1.0) if longest < 180 else ("min", 60.0) if longest < 3 * 3600 else ("h", 3600.0)


def _keys(events: Sequence[_Event]) -> list[KeyEntry]:
    found = dict.fromkeys(_look(one) for one in events)
    known = [*ORIGINS.values(), _OTHER, *_ENDS.values()]
    return [one for one in known if any((one.marker, one.role) == (each.marker, each.role) for each in found)]


def _look(one: _Event) -> KeyEntry:
    if one.value is None:
        return _ENDS.get(one.row.one.status, _OTHER)
    entry = ORIGINS.get(one.row.one.origin, _OTHER)
    return KeyEntry(entry.name, entry.marker, entry.role, hollow=not one.row.one.valid)


def _y(up: Scale, value: float, top: float) -> float:
    return top + 6 + (1 - up.share(value)) * (_HEIGHT - _STRIP - 12)


def _ground(plane: Plane, up: Scale, top: float, what: str) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator

    locator = LogLocator(subs=(1.0, 2.0, 5.0)) if up.log else MaxNLocator(5, steps=(1, 2, 5, 10))
    for value in map(float, locator.tick_values(up.low, up.high)):
        if up.low <= value <= up.high:
            y = _y(up, value, top)
            plane.axes.axhline(y, color=colour("line"), linewidth=0.7, zorder=0.5)
            unit = "MB" if what == "size" else "ms"
            plane.text(f"{value:,.6g} {unit}", 0, y, dx=-7, align="right", role="muted")
    plane.axes.axhline(top + _HEIGHT - _STRIP, color=colour("line"), linewidth=0.7, zorder=0.5)
    plane.text(f"→ time, ↑ {what}", _MARGINS.inner, top + _HEIGHT + 29, align="right", role="muted")


def _line(events: Sequence[_Event], place: Callable[[_Event], tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the best valid value so far, as steps down, to the end of the search."""
    best, spots = math.inf, []
    for one in events:
        if one.value is not None and one.row.one.valid and one.value < best:
            best = one.value
            spots.append(place(one))
    if not spots:
        return []
    corners = [one for before, after in pairwise(spots) for one in (before, (after[0], before[1]))]
    return [*corners, spots[-1], (_MARGINS.inner, spots[-1][1])]


def _words(one: _Event) -> tuple[str, ...]:
    row, trial = one.row, one.row.one
    when = f"{facts.shorten(trial.origin, 40)}, at {duration(one.at)}, took {row.took}{_rung(trial)}"
    found = f"{row.latency}, {row.standing}" if row.latency else row.standing
    return tuple(filter(None, (f"Trial {row.number}, {found}", row.point, when, row.why)))


def _rung(trial: TrialRecord) -> str:
    looks = ("built and looked at", "judged on part of the samples", "judged on all of them and raced")
    return f", {looks[trial.rung]}" if trial.rung < len(looks) else ""


def _caption(events: Sequence[_Event], *, log: bool) -> str:
    parts = ["Each trial at its end; the line is the best valid one so far. Hollow: not valid."]
    if any(one.value is None for one in events):
        parts.append("Crosses in the strip below came to no figure.")
    return " ".join([*parts, *(["The vertical axis is logarithmic."] if log else [])])
