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

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)
