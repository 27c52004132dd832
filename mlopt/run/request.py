"""What a user asks of one run, and how a report may tell it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mlopt.artifact.signing.signers import Signer


@dataclass(frozen=True)
class Request:
    """What the user asked for; paths are relative to the working directory."""

    source: Path
    data: Path | None = None
    output: Path | None = None
    folder: Path = Path("artifacts")
    """Where the artifact is made, under the recipe's name, without ``output``."""
    overrides: tuple[str, ...] = ()
    key: Path | None = None
    sign: bool = True
    allow_ungated: bool = False
    use_cache: bool = True
    allow_code: bool = False
    allow_pickle: bool = False
    quick: bool = False
    """Whether measuring and searches are to be short; the report says so."""
    time_limit: float | None = None
    """The most seconds that searches, retries and measuring may take; what was left out is said in the report."""
    clobber: bool = True
    """Whether an artifact that is there already may be replaced."""
    signer: Signer | None = None
    """Who signs; without it ``key``, and without that the user's own key."""

    @property
    def command(self) -> tuple[str, ...]:
        """The command line that makes the same result, whoever signs it."""
        words = ["mlopt", "optimize", told(self.source)]
        words += ["--data", told(self.data)] if self.data else []
        words += ["-o", told(self.output)] if self.output else []
        words += [word for override in self.overrides for word in ("--set", override)]
        words += ["--budget", f"{self.time_limit:g}s"] if self.time_limit is not None else []
        asked = {"--quick": self.quick, "--allow-code": self.allow_code, "--allow-pickle": self.allow_pickle}
        return (*words, *(name for name, on in asked.items() if on))


def told(path: Path) -> str:
    """Return a path as a report may tell it: one below the working directory, or else the name alone."""
    inside = not path.is_absolute() and ".." not in path.parts
    return str(path) if inside else path.name
