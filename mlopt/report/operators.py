"""Where the time goes: operators of the baseline and of the final model, side by side.

A step that changes operators moves time from one type to another; what did not move tells where to look next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlopt.report import facts
from mlopt.report.svg import WIDTH, Drawing, Margins, Scale, colour, draw, write
from mlopt.results.figures import OperatorTime
from mlopt.results.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 8
_TITLE = "Time by operator"
_ROW = 32.0
_BAR = 11.0
_KEY = 22.0
_LABEL_LENGTH = 22
_MARGINS = Margins(left=150, right=66, top=2)


@dataclass(frozen=True)
class Pair:
    """One type of operator before and after; None where a model has none of it."""

    label: str
    before: OperatorTime | None
    after: OperatorTime | None

    @property
    def most(self) -> float:
        """The longer of the two times, in milliseconds."""
        return max(one.ms for one in (self.before, self.after) if one is not None)


def models(report: Report) -> tuple[str, ...]:
    """Return the names of those two models that were profiled; if only one was, it is told as the final model."""
    return tuple(
        name for name in dict.fromkeys((report.baseline.name, report.final.name)) if report.operators.get(name)
    )


def pairs(report: Report, most: int = SHOWN) -> tuple[Pair, ...]:
    """Return the types that take the most time in either model, and the rest of them as one pair."""
    before, after = _profile(report, models(report)[:-1]), _profile(report, models(report)[-1:])
    every = sorted(
        (Pair(kind, before.get(kind), after.get(kind)) for kind in dict.fromkeys((*before, *after))),
        key=lambda pair: -pair.most,
    )
    if len(every) <= most + 1:
        return tuple(every)
    rest = every[most:]
    return *every[:most], Pair(
        f"everything else ({len(rest)})", _sum([pair.before for pair in rest]), _sum([pair.after for pair in rest])
    )


def time(one: OperatorTime | None) -> str:
    """Return the time of one type; empty where the model has none of it."""
    if one is None:
        return ""
    return facts.ms(one.ms) if one.ms >= 1 else f"{one.ms:.3f} ms"


def picture(report: Report) -> Drawing | None:
    """Draw the pairs as bars; None where nothing was profiled."""
    rows, names = pairs(report), models(report)
    if not names:
        return None
    scale = Scale(0.0, max(pair.most for pair in rows) or 1.0)

    def paint(axes: Axes) -> None:
        axes.set_xlim(scale.low, scale.high)
        _key(axes, names)
        for index, pair in enumerate(rows):
            y = _KEY + (index + 0.5) * _ROW
            write(axes, facts.shorten(pair.label, _LABEL_LENGTH), 0, y, dx=-8, align="right")
            apart = _BAR / 2 + 1 if pair.before and pair.after else 0.0
            _bar(axes, y - apart, pair.before, "reference")
            _bar(axes, y + apart, pair.after, "final")

    svg = draw("operators", _TITLE, _KEY + len(rows) * _ROW, _MARGINS, paint)
    total = " before, ".join(facts.ms(sum(one.ms for one in report.operators[name])) for name in names)
    caption = (
        f"All operators together: {total}{' after' if len(names) > 1 else ''}. By the runtime's own profile; "
        "profiling itself takes time, so this says where time goes, not how long an inference takes."
    )
    return Drawing(_TITLE, caption, svg)


def _profile(report: Report, names: tuple[str, ...]) -> dict[str, OperatorTime]:
    return {one.op_type: one for name in names for one in report.operators[name]}


def _sum(parts: list[OperatorTime | None]) -> OperatorTime | None:
    known = [one for one in parts if one is not None]
    if not known:
        return None
    return OperatorTime(op_type="", nodes=sum(one.nodes for one in known), ms=sum(one.ms for one in known))


def _bar(axes: Axes, y: float, one: OperatorTime | None, role: str) -> None:
    if one is None:
        return
    axes.barh(y, one.ms, _BAR, color=colour(role), zorder=2)
    write(axes, time(one), one.ms, y, across=False, dx=5, role="ink" if role == "final" else "muted")


def _key(axes: Axes, names: tuple[str, ...]) -> None:
    """Say which bar is whose."""
    for name, role, x in zip(reversed(names), ("final", "reference"), (WIDTH / 2, 0.0), strict=False):
        start = x - _MARGINS.left + 2
        write(axes, "■", 0, _KEY / 2 - 2, dx=start, role=role)
        write(axes, facts.short_name(name, 20), 0, _KEY / 2 - 2, dx=start + 14, bold=role == "final")
