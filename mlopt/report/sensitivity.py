"""What each layer bears: the note ``sensitivity`` of a step, as a map of layers by shares that were taken from them.

A note of another shape stays a line of JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationError

from mlopt.core.foreign_text import plain
from mlopt.report import facts
from mlopt.report.svg import Drawing, Margins, colour, draw, write
from mlopt.results.report import Report
from mlopt.results.section import Count, Many, Section

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NOTE = "sensitivity"
Share = Annotated[float, Field(ge=0, le=1)]
_ROWS, _COLUMNS = 40, 6
_ROW, _LEFT, _LABEL, _START, _HEAD = 20.0, 150.0, 22, 6, 22.0
_DARKEST = 0.75


class SensitivityPoint(Section):
    """One group of layers pruned alone, by one share of its channels."""

    layer: str
    along: Many[tuple[str, ...]] = ()
    """The layers that shrink with it."""
    ratio: Share
    score: Share
    macs: Share
    """The share of the whole model's MACs that is left."""


class SensitivityRecord(Section):
    """The scores of a model that was pruned in one place at a time."""

    measure: Literal["accuracy", "closeness"]
    """Closeness is 1 less the relative error of the first output against that of the model as it was."""
    samples: Count
    before: Share
    """The score of the model as it was."""
    points: Many[tuple[SensitivityPoint, ...]]

    @property
    def ratios(self) -> tuple[float, ...]:
        """The shares that were taken."""
        return tuple(sorted({point.ratio for point in self.points}))

    @property
    def layers(self) -> dict[str, dict[float, SensitivityPoint]]:
        """The points by layer, in the order of the model, and by ratio."""
        found: dict[str, dict[float, SensitivityPoint]] = {}
        for point in self.points:
            found.setdefault(point.layer, {})[point.ratio] = point
        return found


def read(notes: Mapping[str, Any]) -> SensitivityRecord | None:
    """Return the scores in a step's notes; None if there are none of this shape."""
    try:
        found = SensitivityRecord.model_validate(notes.get(NOTE))
    except ValidationError:
        return None
    return found if found.points else None


def told(found: SensitivityRecord) -> str:
    """Say in a line which layer bears most, and which least."""
    ratio = found.ratios[-1]
    ends = {name: at[ratio] for name, at in found.layers.items() if ratio in at}
    by_score = sorted(ends, key=lambda name: ends[name].score)
    least, most = by_score[0], by_score[-1]
    said = f"least {least}: {_percent(ends[least].score)} without {_share(ratio)} of its channels"
    said += f"; most {most}: {_percent(ends[most].score)}" if most != least else ""
    return f"{said}; {basis(found)}"


def basis(found: SensitivityRecord) -> str:
    """Say what the scores are, and on what they were taken."""
    what = "accuracy" if found.measure == "accuracy" else "1 less the relative error of the first output"
    return (
        f"{what} on {found.samples:,} samples of data.train, {_percent(found.before)} unpruned, nothing trained between"
    )


def pictures(report: Report) -> tuple[Drawing, ...]:
    """Draw what each layer bears, of each step that found out."""
    read_ = [(number, step.name, read(step.notes)) for number, step in enumerate(report.steps)]
    return tuple(_map(f"sensitivity{number}", name, found) for number, name, found in read_ if found is not None)


def _map(name: str, step: str, found: SensitivityRecord) -> Drawing:
    layers, ratios = found.layers, found.ratios[:_COLUMNS]
    worst = {layer: min(point.score for point in at.values()) for layer, at in layers.items()}
    shown = set(sorted(worst, key=lambda layer: worst[layer])[:_ROWS])
    rows = [(layer, at) for layer, at in layers.items() if layer in shown]
    common = _common([layer for layer, _ in rows])
    lost = max(1e-9, found.before - min(worst.values()))

    def paint(axes: Axes) -> None:
        axes.set_xlim(0, len(ratios) + 1)
        for column, text in enumerate([f"-{_share(ratio)}" for ratio in ratios] + ["MACs"]):
            write(axes, text, column + 0.5, _HEAD / 2, across=False, align="center", role="muted")
        for row, (layer, at) in enumerate(rows):
            y = _HEAD + (row + 0.5) * _ROW
            write(axes, _short(layer[common:]), 0, y, dx=-8, align="right")
            for column, ratio in enumerate(ratios):
                if ratio in at:
                    _cell(axes, column, y, at[ratio], max(0.0, found.before - at[ratio].score) / lost)
            if ratios[-1] in at:
                saved = _percent(max(0.0, 1 - at[ratios[-1]].macs))
                write(axes, f"-{saved}", len(ratios) + 0.5, y, across=False, align="center", role="muted")

    caption = facts.upper_first(f"{basis(found)}. One layer at a time loses this share of its channels (columns); "
                                f"redder is worse. MACs: of the whole model, at {_share(ratios[-1])}.")  # fmt: skip
    if len(rows) < len(layers):
        caption += f" The {len(rows)} layers that bear least, of {len(layers)}."
    title = f"What each layer bears: {plain(step)}"
    svg = draw(name, title, _HEAD + len(rows) * _ROW, Margins(left=_LEFT, right=6), paint)
    return Drawing(title, caption, svg)


def _cell(axes: Axes, column: int, y: float, point: SensitivityPoint, lost: float) -> None:
    axes.barh(y, 0.94, _ROW - 2, left=column + 0.03, color=colour("bad"), alpha=_DARKEST * lost, zorder=1)
    write(axes, _percent(point.score), column + 0.5, y, across=False, align="center")


def _percent(share: float) -> str:
    return facts.percent(share, 1)


def _share(ratio: float) -> str:
    return f"{100 * ratio:.3g} %"


def _common(names: Sequence[str]) -> int:
    """Return how many characters all names share at their start, up to a dot."""
    parts = zip(*(name.split(".")[:-1] for name in names), strict=False) if len(names) > 1 else ()
    return sum(len(each[0]) + 1 for each in takewhile(lambda each: len(set(each)) == 1, parts))


def _short(layer: str) -> str:
    """Return the two ends of a layer's name: the number of its block, and what it is there."""
    clean = plain(layer)
    return clean if len(clean) <= _LABEL else f"{clean[:_START]}…{clean[_START + 1 - _LABEL :]}"
