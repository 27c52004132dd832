"""How what a run would do is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlopt.cli.table_format import TableFormat, emit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlopt.run.outlook import Outlook


_WORDS = {True: ("cached", "green"), False: ("runs", "yellow"), None: ("open", "dim")}


def show(steps: Sequence[Outlook], wanted: TableFormat = TableFormat.TEXT) -> None:
    """Print one line per step, or plain data."""
    from mlopt.cli.console import emit_json

    if wanted is TableFormat.JSON:
        emit_json([step.as_json() for step in steps])
    elif wanted is TableFormat.TEXT:
        _show(steps)
    else:
        timed = any(step.seconds is not None for step in steps)
        emit(wanted, _heads(timed), (_cells(one, timed=timed) for one in steps))


def _heads(timed: bool) -> tuple[str, ...]:
    return ("step", "cache", *(["takes"] if timed else []), "why", "what")


def _cells(step: Outlook, *, timed: bool) -> tuple[str, ...]:
    return (_name(step), _word(step)[0], *([_about(step.seconds)] if timed else []), step.why, step.detail)


def _name(step: Outlook) -> str:
    return f"{step.title} (optional)" if step.optional else step.title


def _word(step: Outlook) -> tuple[str, str]:
    return ("left out", "dim") if step.skipped else _WORDS[step.cached]


def _show(steps: Sequence[Outlook]) -> None:
    from rich.table import Table
    from rich.text import Text

    from mlopt.cli.console import out
    from mlopt.core.foreign_text import plain

    table = Table(box=None, pad_edge=False)
    timed = any(step.seconds is not None for step in steps)
    for name in _heads(timed):
        table.add_column(name, overflow="fold")
    said: set[str] = set()
    for step in steps:
        detail = "" if step.name in said else plain(step.detail)  # of a step that several runtimes have, once
        said.add(step.name)
        table.add_row(
            plain(_name(step)),
            Text(*_word(step)),
            *([_about(step.seconds)] if timed else []),
            plain(step.why),
            Text(detail, style="dim"),
        )  # before rich measures it: what it counts as no column wide would push the end out of the table
    out.print(table)


def show_times(steps: Sequence[Outlook]) -> None:
    """Print about how long all of it takes, what most of that is, and what the estimate rests on."""
    from mlopt.cli.console import out
    from mlopt.core.foreign_text import plain
    from mlopt.run.ahead import summary

    if said := summary(steps):
        out.print(plain(said))


def _about(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    if seconds < 0.5:
        return "-"
    return f"~{round(seconds)} s" if seconds < 90 else f"~{seconds / 60:.0f} min"
