"""What can be told of one step before anything runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Outlook:
    """One step of a run to come. ``cached`` is None when that depends on a step before it that has to run."""

    name: str
    detail: str
    cached: bool | None
    why: str
    optional: bool = False
    needs: tuple[str, ...] = ()
    runtime: str | None = None
    """The runtime that it is done for, if another one has this step done otherwise; None: it is done once for all."""
    skipped: bool = False
    """Whether it has no place in the chain of that runtime; ``why`` tells the reason."""
    seconds: float | None = None
    """About what it will take; None if nobody asked."""
    basis: str = ""
    """What the seconds rest on."""

    @property
    def title(self) -> str:
        """What it is called: ``quantize in openvino``."""
        return f"{self.name} in {self.runtime}" if self.runtime else self.name

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)
