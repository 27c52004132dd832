"""Every error that mlopt raises on purpose, and the exit codes of the command line.

    MloptError                        one or more problems; each says what, where, got, expected, fix
    ├── UserError               2     the user can fix it
    │   ├── RecipeError               the recipe, its overrides, or steps that do not fit together
    │   ├── ModelError                the model file, or the Python that builds it
    │   ├── DataError                 calibration, evaluation or training data
    │   ├── MissingPackage            an extra, a GPU or another thing that this machine lacks
    │   ├── PassError                 a pass failed, or the framework refused what it wrote
    │   ├── MeasureError              a candidate could not be measured: its worker crashed, hung or ran out of memory
    │   ├── GateError                 a gate asks for what was not measured, or there is nothing to judge
    │   └── OutputError               a result could not be written, or a key could not be read
    └── IntegrityError          4     an artifact is not what was signed

Only ``mlopt.cli`` turns these into text and an exit code. Anything else that escapes is a bug of mlopt (70).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Self


class ExitCode(IntEnum):
    """What a shell or a CI step sees."""

    OK = 0
    GATE_FAILED = 1
    USAGE = 2
    INCONCLUSIVE = 3
    INTEGRITY = 4
    BUG = 70
    INTERRUPTED = 130
    PIPE_CLOSED = 141


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, in the words shown to the user."""

    what: str
    where: str | None = None
    got: str | None = None
    expected: str | None = None
    fix: str | None = None

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        rest = [f"  {label:<9} {text}" for label, text in self._details() if text]
        return "\n".join([head, *rest])

    def _details(self) -> tuple[tuple[str, str | None], ...]:
        return ("got", self.got), ("expected", self.expected), ("fix", self.fix)


class MloptError(Exception):
    """The root of the tree. ``problems`` holds at least one problem; ``str()`` shows them all."""

    exit_code = ExitCode.USAGE

    def __init__(
        self,
        what: str | Problem,
        *more: Problem,
        where: str | None = None,
        got: str | None = None,
        expected: str | None = None,
        fix: str | None = None,
    ) -> None:
        first = what if isinstance(what, Problem) else Problem(what, where, got, expected, fix)
        self.problems: tuple[Problem, ...] = (first, *more)
        super().__init__(*self.problems)

    @property
    def brief(self) -> str:
        """The first problem in one line: what is wrong, and what was found."""
        return ": ".join(filter(None, (self.problems[0].what, self.problems[0].got)))

    @classmethod
    def of(cls, problems: Iterable[Problem]) -> Self:
        """Make one error of several problems (at least one)."""
        return cls(*problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class UserError(MloptError):
    """The user can fix it."""


class RecipeError(UserError):
    """The recipe, its overrides, or steps that do not fit together."""


class ModelError(UserError):
    """The model file, or the Python that builds it."""


class DataError(UserError):
    """Calibration, evaluation or training data."""


class MissingPackage(UserError):  # noqa: N818 - named after what is missing, not after being an error
    """An extra, a GPU or another thing that this machine lacks."""


class PluginError(UserError):
    """What another package adds to mlopt does not load, or has a name that is taken."""


class PassError(UserError):
    """A pass failed, or the framework refused what it wrote."""


class MeasureError(UserError):
    """A candidate could not be measured."""


class GateError(UserError):
    """A gate asks for what was not measured, or there is nothing to judge."""


class OutputError(UserError):
    """A result could not be written, or a key could not be read."""


class IntegrityError(MloptError):
    """An artifact is not what was signed."""

    exit_code = ExitCode.INTEGRITY
