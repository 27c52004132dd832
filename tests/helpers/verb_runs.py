"""Verbs called as the program does, up to the boundary that turns errors into text: here those are raised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
from typer.testing import CliRunner, Result


def running(*verbs: Callable[..., Any]) -> Callable[..., Result]:
    """Return a function that runs one of the verbs: ``run("verify", artifact, "--json")``."""
    app = typer.Typer()
    app.callback()(lambda: None)
    for verb in verbs:
        app.command()(verb)

    def run(*arguments: object) -> Result:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run
