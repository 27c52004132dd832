"""``--gate LIMIT`` and ``--gates FILE``: one syntax of limits for every verb that judges."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlopt.cli.completion import limits

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from mlopt.gate.limits import Gate
    from mlopt.results.report import Report

_LIMIT = "A limit, such as 'speedup.median >= 0.97' or 'latency.p95_ms <= 12'; repeatable."

Limits = Annotated[list[str] | None, typer.Option("--gate", metavar="LIMIT", help=_LIMIT, autocompletion=limits)]


def read_gates(
    lines: Iterable[str] | None, file: Path | None, given: Collection[str]
) -> tuple[tuple[Gate, ...], dict[str, Report]]:
    """Read the gates of ``--gate`` and ``--gates``, and the stored reports that they compare with, by what ``vs`` says.

    What is ``given`` besides is no file.

    Paths are relative to where they were written: the working directory, or the file of gates. Raises ``GateError``.
    """
    from mlopt.gate.baselines import load_baselines
    from mlopt.recipe.gates_file import load_gates

    here, there = _parsed(lines or ()), load_gates(file) if file is not None else ()
    stored: dict[str, Report] = {}
    for gates, folder in ((here, Path()), (there, file.parent if file is not None else Path())):
        stored |= load_baselines([gate for gate in gates if gate.vs not in given], folder)
    return (*here, *there), stored


def _parsed(lines: Iterable[str]) -> tuple[Gate, ...]:
    """Parse all of them; raises ``GateError`` with everything that is wrong."""
    from mlopt.core.errors import GateError, Problem
    from mlopt.gate.text import parse_gate

    found: list[Gate] = []
    problems: list[Problem] = []
    for line in lines:
        try:
            found.append(parse_gate(line))
        except GateError as error:
            problems += error.problems
    if problems:
        raise GateError.of(problems)
    return tuple(found)
