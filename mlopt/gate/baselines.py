"""The stored reports that gates compare with, read from disk: the one part of judging that opens files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mlopt import report
from mlopt.core.errors import GateError, Problem, UserError
from mlopt.gate.limits import BASELINE, Gate, is_stored
from mlopt.results.report import Report


def load_baselines(gates: Sequence[Gate], base: Path) -> dict[str, Report]:
    """Read the stored reports that gates name by a path, relative to ``base``; raises ``GateError`` with all problems.

    ``vs: baseline`` is not among them: that report is given beside the gates.
    """
    found: dict[str, Report] = {}
    problems: list[Problem] = []
    for vs in dict.fromkeys(gate.vs for gate in gates):
        if vs is None or vs == BASELINE or not is_stored(vs):
            continue
        try:
            found[vs] = report.read(base / vs)
        except UserError as error:
            problems += [replace(problem, what=f"the stored report of `vs: {vs}`: {problem.what}")
                         for problem in error.problems]  # fmt: skip
    if problems:
        raise GateError.of(problems)
    return found
