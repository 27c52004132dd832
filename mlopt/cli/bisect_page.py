"""What ``mlopt bisect`` gives to others: Markdown that is pasted into a pull request, and CSV for a spreadsheet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlopt.cli import table_format

if TYPE_CHECKING:
    from mlopt.bisect.finding import Chosen, Finding, StepFigures
    from mlopt.bisect.limits import LimitFigure
    from mlopt.bisect.suspects import Suspect

BLAMED = ("node to blame", "operator", "output", "SQNR dB", "of the median channel")
_HEADS = ("step", "status", "metric", "limit", "value", "holds")


def markdown(found: Finding) -> str:
    """Return the steps with their figures, and the nodes to blame where there are any."""
    limits = [f"{each.metric} {each.limit}" for each in found.chain[0].figures]
    rows = [(step(number, row), row.status, *(map(_told, row.figures) if row.figures else [""] * len(limits)))
            for number, row in enumerate(found.chain)]  # fmt: skip
    parts = [table_format.markdown(("step", "status", *limits), rows)]
    if found.chosen is not None:
        parts.append(table_format.markdown(BLAMED, blamed(found.chosen)))
    return "\n".join(parts)


def csv(found: Finding) -> str:
    """Return a row for each step and limit, one without figures for a step that wrote no model."""
    nothing: tuple[tuple[str, ...], ...] = (("",) * 4,)
    rows = [
        (step(number, row), row.status, *figures)
        for number, row in enumerate(found.chain)
        for figures in tuple(map(_figures, row.figures)) or nothing
    ]
    return table_format.csv(_HEADS, rows)


def step(number: int, row: StepFigures) -> str:
    """Return what a step is called, the source by its name alone."""
    return f"{number} {row.step}" if number else row.step


def blamed(chosen: Chosen) -> list[tuple[str, ...]]:
    """Return the rows of the nodes to blame."""
    return [(each.node, each.op_type, each.tensor or "", *_decibels(each)) for each in chosen.nodes]


def value(figure: LimitFigure) -> str:
    """Return a figure as it is shown."""
    return "exact" if figure.value is None else f"{figure.value:.5g}"


def _told(figure: LimitFigure) -> str:
    return value(figure) if figure.holds else f"{value(figure)} broken"


def _figures(figure: LimitFigure) -> tuple[str, ...]:
    shown = "" if figure.value is None else f"{figure.value:.10g}"
    return figure.metric, figure.limit, shown, "yes" if figure.holds else "no"


def _decibels(suspect: Suspect) -> tuple[str, str]:
    return ("", "") if suspect.tensor is None else (_decibel(suspect.sqnr_db), _decibel(suspect.channel_db))


def _decibel(value: float | None) -> str:
    return "exact" if value is None else f"{value:.1f}"
