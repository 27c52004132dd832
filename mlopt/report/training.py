"""How the trainings of a step went: the note ``trainings`` of a step, as curves and a line for each.

A note of another shape stays a line of JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from mlopt.report import facts
from mlopt.report.svg import Drawing, Margins, Scale, colour, draw
from mlopt.results.report import Report
from mlopt.results.section import Count, Few, Many, Section

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NOTE = "trainings"
SOURCE = "the source"
_HEIGHT, _LEFT, _KEY = 150.0, 44.0, 18.0


class TrainedEpoch(Section):
    """One epoch."""

    number: Count
    loss: float
    held_out: float | None
    """The loss of samples that are not learnt from."""
    score: float | None
    """The share of those that are named rightly, 0 to 1."""
    learning_rate: float
    seconds: float


class TrainingRecord(Section):
    """One training."""

    name: str
    epochs: Many[tuple[TrainedEpoch, ...]]
    steps: Count
    stopped: str
    """Why it ended: epochs, time or patience."""
    best: Count | None
    """The epoch whose weights were taken; null: those of the last."""
    resumed_at: Count | None
    """The step at which it went on after it was interrupted."""
    seconds: float


class _Note(Section):
    trainings: Few[tuple[TrainingRecord, ...]]


def read(notes: Mapping[str, Any]) -> tuple[TrainingRecord, ...]:
    """Return the trainings in a step's notes; none if there are none of this shape."""
    try:
        return _Note.model_validate({NOTE: notes.get(NOTE, ())}).trainings
    except ValidationError:
        return ()


def told(training: TrainingRecord) -> str:
    """Say in a line what a training came to."""
    said = [f"{len(training.epochs)} epochs", f"{training.steps:,} steps", f"{training.seconds:.0f} s"]
    if training.epochs:
        last = training.epochs[(training.best or len(training.epochs)) - 1]
        said.append(f"loss {last.loss:.4g}")
        if last.held_out is not None:
            said.append(f"{last.held_out:.4g} on samples held out")
        if last.score is not None:
            said.append(f"{last.score:.2%} of them right")
    said.append({"epochs": "ran to its end", "time": "as long as time allowed"}.get(training.stopped, "got no better"))
    if training.best is not None:
        said.append(f"the weights of epoch {training.best} were taken")
    if training.resumed_at is not None:
        said.append(f"went on at step {training.resumed_at:,} after it was interrupted")
    return ", ".join(said)


def pictures(report: Report) -> tuple[Drawing, ...]:
    """Draw the losses of each training by epoch."""
    found = []
    for number, (title, notes) in enumerate(_noted(report)):
        for place, training in enumerate(read(notes)):
            if len(training.epochs) > 1:
                found.append(_curves(f"training{number}-{place}", f"{title}: {training.name}", training))
    return tuple(found)


def _noted(report: Report) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield titles of what may have been trained, with its notes: the source, then each step."""
    yield f"How {SOURCE} was trained", report.source_notes
    yield from ((f"How {step.name} trained", step.notes) for step in report.steps)


def _curves(name: str, title: str, training: TrainingRecord) -> Drawing:
    lines = {"samples that it learnt from": ("reference", [(each.number, each.loss) for each in training.epochs])}
    held_out = [(each.number, each.held_out) for each in training.epochs if each.held_out is not None]
    if held_out:
        lines["samples that are held out"] = ("final", held_out)
    values = [value for _, points in lines.values() for _, value in points]
    across, up = Scale.over(1, len(training.epochs), pad=0.02), Scale.over(min(values), max(values), pad=0.08)

    def paint(axes: Axes) -> None:
        Scale(across.low, across.high).show(axes, "x")
        up.show(axes, "y")
        for row, (label, (role, points)) in enumerate(lines.items()):
            axes.plot(*zip(*points, strict=True), color=colour(role), linewidth=1.8, marker="o", markersize=3)
            y = 1 + (len(lines) - row) * _KEY / _HEIGHT - 6 / _HEIGHT
            place: dict[str, Any] = {"transform": axes.transAxes, "clip_on": False, "color": colour(role)}
            axes.plot((0, 0.06), (y, y), linewidth=1.8, **place)
            axes.annotate(label, (0.08, y), xycoords="axes fraction", va="center", color=colour("muted"),
                          annotation_clip=False)  # fmt: skip

    margins = Margins(left=_LEFT, right=12, top=len(lines) * _KEY + 10, bottom=24)
    caption = f"Loss by epoch: {told(training)}."
    return Drawing(title, facts.upper_first(caption), draw(name, title, _HEIGHT, margins, paint))
