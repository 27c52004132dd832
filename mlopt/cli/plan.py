"""``mlopt plan``: what a run would do, without doing it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlopt.cli.runtime_option import ForTarget, Overrides, Threads, with_runtime
from mlopt.cli.table_format import Format, Json, TableFormat, chosen


def plan(
    *,
    source: Annotated[
        Path, typer.Argument(metavar="RECIPE_OR_MODEL", help="A recipe, a .onnx model, or a folder of one.")
    ],
    data: Annotated[Path | None, typer.Option("--data", help="For a model, as in optimize.")] = None,
    overrides: Overrides = None,
    runtime: ForTarget = "",
    threads: Threads = None,
    format_: Format = TableFormat.TEXT,
    json: Json = False,
) -> None:
    """Show the steps, what is cached, and how long all takes."""
    from mlopt.cli.console import err
    from mlopt.cli.outlook import show, show_times
    from mlopt.run.forecast import foresee_times
    from mlopt.run.request import Request

    changed, wanted = with_runtime(overrides, runtime, threads), chosen(format_, json)
    request = Request(source=source, data=data, overrides=changed, allow_code=True, allow_pickle=True)
    steps, notes = foresee_times(request)
    show(steps, wanted)
    if wanted is TableFormat.TEXT:
        show_times(steps)
    for note in notes:
        err.print(f"note: {note}")
