"""``mlopt plan``: what a run would do, without doing it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlopt.cli.runtime_option import ForTarget, Overrides, Threads, with_runtime
from mlopt.cli.table_format import Format, Json, TableFormat, chosen


def plan(
    *,
    source: Annotated[Path, typer.Argument(metavar="RECIPE_OR_MODEL", help="A recipe, or a bare .onnx model.")],
    data: Annotated[Path | None, typer.Option("--data", help="For a bare model, as in optimize.")] = None,
    overrides: Overrides = None,
    runtime: ForTarget = "",
    threads: Threads = None,
    format_: Format = TableFormat.TEXT,
    json: Json = False,
) -> None:
    """Show the steps, what they need and what is cached."""
    from mlopt.cli.console import err
    from mlopt.cli.outlook import show
    from mlopt.run.forecast import foresee
    from mlopt.run.request import Request

    request = Request(
        source=source,
        data=data,
        overrides=with_runtime(overrides, runtime, threads),
        allow_code=True,
        allow_pickle=True,
    )
    steps, notes = foresee(request)
    show(steps, chosen(format_, json))
    for note in notes:
        err.print(f"note: {note}")
