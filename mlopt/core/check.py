"""What a look before the work finds: each thing with how bad it is, and with what mends it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Check:
    """One finding. With a ``problem`` what was asked about cannot be done; a ``note`` is worth knowing."""

    name: str
    status: Status
    found: str
    fix: str | None = None


@dataclass(frozen=True)
class CheckGroup:
    """Findings about one thing."""

    title: str
    checks: tuple[Check, ...]


def passed(groups: Iterable[CheckGroup]) -> bool:
    """Whether there is no problem among them."""
    return all(check.status != "problem" for group in groups for check in group.checks)
