"""``mlopt plan``: what a run would do, without doing it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlopt.run.forecast import Outlook


def plan(
    source: Annotated[Path, typer.Argument(metavar="RECIPE_OR_MODEL", help="A recipe, or a bare .onnx model.")],
    data: Annotated[Path | None, typer.Option("--data", help="For a bare model, as in optimize.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """Show the steps, what they need, and which the cache has; runs nothing."""
    from mlopt.cli.console import emit_json, err
    from mlopt.run.forecast import foresee
    from mlopt.run.request import Request

    request = Request(source=source, data=data, overrides=tuple(overrides or ()), allow_code=True, allow_pickle=True)
    steps, notes = foresee(request)
    if json:
        emit_json([step.as_json() for step in steps])
    else:
        show(steps)
    for note in notes:
        err.print(f"note: {note}")


def show(steps: Sequence[Outlook]) -> None:
    """Print one line per step."""
    from rich.table import Table
    from rich.text import Text

    from mlopt.cli.console import out

    table = Table(box=None, pad_edge=False)
    for name in ("step", "cache", "why", "what"):
        table.add_column(name, overflow="fold")
    words = {True: ("cached", "green"), False: ("runs", "yellow"), None: ("open", "dim")}
    for step in steps:
        name = f"{step.name} (optional)" if step.optional else step.name
        table.add_row(name, Text(*words[step.cached]), step.why, Text(step.detail, style="dim"))
    out.print(table)
