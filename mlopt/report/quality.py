"""What the final model gets wrong that the reference got right: the drop of the metric and the samples behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlopt.core.foreign_text import plain
from mlopt.report import facts
from mlopt.report.svg import HEAD, Drawing, Margins, Scale, colour, draw, head
from mlopt.results.figures import AccuracyDrop
from mlopt.results.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW = 44.0


def differences(report: Report) -> str | None:
    """Return in a sentence on how many samples the two models differ; None where no drop was measured."""
    drop = report.accuracy_drop
    if drop is None:
        return None
    total = f"The scores of {plain(drop.vs)} and {plain(report.final.name)} differ on "
    total += f"{drop.disagreements:,} of {drop.n:,} samples"
    if drop.lost is None or drop.gained is None:
        return f"{total}."
    return f"{total}: {drop.lost:,} that only the first gets right, {drop.gained:,} that only the second does."


def shortly(report: Report) -> str:
    """Return on how many samples the two models differ, in a few words."""
    drop = report.accuracy_drop
    return "" if drop is None else f"{drop.disagreements:,} of {drop.n:,} samples differ"


def shown(report: Report) -> str | None:
    """Return how many of those samples the report lists; None where it lists none."""
    if not report.differing or report.accuracy_drop is None:
        return None
    return f"{len(report.differing):,} of {report.accuracy_drop.disagreements:,} shown"


def drop_picture(report: Report) -> Drawing | None:
    """Draw the drop with its interval, and the samples lost and gained that make it; None where there is no drop."""
    drop = report.accuracy_drop
    if drop is None:
        return None
    parts = _parts(drop)
    ends = [0.0, *drop.ci95, drop.pt, *(value for _, value, _ in parts)]
    scale = Scale.over(min(ends), max(ends), pad=0.08)

    def paint(axes: Axes) -> None:
        scale.show(axes)
        for index, (text, value, role) in enumerate(parts):
            y = _row(axes, index, text, facts.points(value))
            axes.barh(y, value, 14, color=colour(role), zorder=2)
        y = _row(axes, len(parts), "drop", f"{facts.points(drop.pt)} ({facts.between(drop.ci95, facts.points)})")
        role = {1: "bad", 0: "warn", -1: "good"}[_side(drop)]
        axes.plot(drop.ci95, (y, y), color=colour(role), linewidth=2.4, solid_capstyle="round", zorder=3)
        axes.plot(drop.pt, y, "o", color=colour(role), markersize=8, zorder=4)

    title = f"{facts.upper_first(facts.metric_name(report))} against {plain(drop.vs)}"
    svg = draw("drop", title, (len(parts) + 1) * _ROW, Margins(right=10, bottom=24), paint)
    caption = "Percentage points of the samples; right of zero is worse. "
    return Drawing(title, f"{caption}The interval is of 95 %; amber could be no drop at all.", svg)


def _parts(drop: AccuracyDrop) -> tuple[tuple[str, float, str], ...]:
    """Return text, percentage points and colour of what was lost and gained; nothing where scores are not 0 or 1."""
    if drop.lost is None or drop.gained is None or drop.n == 0:
        return ()
    scale = 100 / drop.n
    return (
        (f"lost on {drop.lost:,} samples", drop.lost * scale, "bad"),
        (f"gained on {drop.gained:,} samples", -drop.gained * scale, "good"),
    )


def _side(drop: AccuracyDrop) -> int:
    """Return 1 for worse, -1 for better, 0 where it could be neither."""
    low, high = drop.ci95
    return 1 if low > 0 else -1 if high < 0 else 0


def _row(axes: Axes, index: int, left: str, right: str) -> float:
    """Write the head of a row and the line of no drop below it; return where to draw."""
    head(axes, index * _ROW, left, right)
    y = index * _ROW + (HEAD + _ROW) / 2
    axes.plot((0, 0), (y - 11, y + 11), color=colour("muted"), linewidth=1.2, zorder=2)
    return y
