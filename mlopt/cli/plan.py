"""``mlopt plan``: what a run would do, without doing it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlopt.cli.runtime_option import ForTarget, with_runtime


def plan(
    source: Annotated[
        Path, typer.Argument(metavar="RECIPE_OR_MODEL", help="A recipe, a .onnx model, or a folder of one.")
    ],
    data: Annotated[Path | None, typer.Option("--data", help="For a model, as in optimize.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key.")] = None,
    runtime: ForTarget = "",
    json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """Show the steps, what they need, and which the cache has; runs nothing."""
    from mlopt.cli.console import emit_json, err
    from mlopt.cli.outlook import show
    from mlopt.run.forecast import foresee
    from mlopt.run.request import Request

    chosen = with_runtime(overrides, runtime)
    request = Request(source=source, data=data, overrides=chosen, allow_code=True, allow_pickle=True)
    steps, notes = foresee(request)
    if json:
        emit_json([step.as_json() for step in steps])
    else:
        show(steps)
    for note in notes:
        err.print(f"note: {note}")
