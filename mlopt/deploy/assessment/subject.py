"""The artifact that is assessed: verified, its report read, and as an engine would get it, or why none can."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mlopt import report as reports
from mlopt.artifact.files import hash_files
from mlopt.artifact.layout import Manifest, Role
from mlopt.artifact.signing.base import Trust
from mlopt.artifact.verify import Verified, verify
from mlopt.core.errors import IntegrityError, Problem, UserError
from mlopt.core.foreign_text import plain
from mlopt.deploy.contents import ServedContent, served
from mlopt.deploy.derived import Goal
from mlopt.results.report import Report

SignedAs = Literal["own key", "key", "certificate", "keyless"]
"""How it is signed, as far as the trust that opened it tells; the first is the user's own, which nobody else knows."""


@dataclass(frozen=True)
class AssessmentRequest:
    """Which artifact, and who must have signed it."""

    directory: Path
    trust: Trust | None = None
    signed_as: SignedAs = "own key"
    trusted: tuple[str, ...] = ()
    """The options that say the same to another verb."""
    goal: Goal = field(default_factory=Goal)

    @property
    def words(self) -> str:
        """What a command line calls the artifact, to any verb that verifies it."""
        return shlex.join([str(self.directory), *self.trusted])

    @property
    def place(self) -> str:
        """The artifact alone, as a command line calls it."""
        return shlex.quote(str(self.directory))


@dataclass(frozen=True)
class AssessedArtifact:
    """An artifact that is what was signed, and its evidence."""

    asked: AssessmentRequest
    verified: Verified
    report: Report
    content: ServedContent | None
    """As it would be deployed."""
    refusal: Problem | None = None
    """Why `mlopt deploy` refuses it, for any engine."""

    @property
    def manifest(self) -> Manifest:
        """What the artifact says of itself."""
        return self.verified.manifest

    def again(self, *more: str, without: str | None = None) -> str:
        """Return the command that makes the artifact again, with ``more`` words at its end, or ``without`` one."""
        made = self.report.made_by
        command = made.command if made is not None else ("mlopt", "optimize", f"{self.report.name}.yaml")
        return shlex.join(plain(word) for word in (*command, *more) if word != without)


def assessed(asked: AssessmentRequest) -> AssessedArtifact:
    """Verify an artifact, and ask of it what `mlopt deploy` asks.

    Raises ``IntegrityError`` for one that is not what was signed; ``UserError`` where there is none, or its report
    cannot be read. That no engine can serve it is a result.
    """
    verified = verify(asked.directory, asked.trust)
    report = _evidence(verified)
    try:
        return AssessedArtifact(asked, verified, report, served(verified, report, asked.goal))
    except UserError as error:
        return AssessedArtifact(asked, verified, report, None, error.problems[0])


def _evidence(verified: Verified) -> Report:
    """Read the report, which is still the one that was signed."""
    name = verified.manifest.file_of(Role.REPORT)
    report = reports.read(verified.directory / name)
    if hash_files(verified.directory, [name])[name] != verified.files[name]:
        raise IntegrityError(
            "the file was changed after it was verified", where=str(verified.directory / name), fix="try again"
        )
    return report
