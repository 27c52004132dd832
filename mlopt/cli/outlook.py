"""How what a run would do is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlopt.run.outlook import Outlook


def show(steps: Sequence[Outlook]) -> None:
    """Print one line per step."""
    from rich.table import Table
    from rich.text import Text

    from mlopt.cli.console import out
    from mlopt.core.foreign_text import plain

    table = Table(box=None, pad_edge=False)
    timed = any(step.seconds is not None for step in steps)
    for name in ("step", "cache", *(["takes"] if timed else []), "why", "what"):
        table.add_column(name, overflow="fold")
    words = {True: ("cached", "green"), False: ("runs", "yellow"), None: ("open", "dim")}
    said: set[str] = set()
    for step in steps:
        name = f"{step.title} (optional)" if step.optional else step.title
        word = ("left out", "dim") if step.skipped else words[step.cached]
        detail = "" if step.name in said else plain(step.detail)  # of a step that several runtimes have, once
        said.add(step.name)
        table.add_row(
            plain(name),
            Text(*word),
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
