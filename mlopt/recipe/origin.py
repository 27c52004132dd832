"""What a run read, and what it ran with: the part of ``recipe.lock.yaml`` that claims are derived from."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Origin(BaseModel):
    """The section ``lock``: what a run read, and what it ran with. What later versions added may be absent."""

    model_config = ConfigDict(frozen=True)

    mlopt: str
    recipe: Sha256
    """Of the recipe's text as written, overrides not included."""
    overrides: tuple[str, ...] = ()
    """``KEY=VALUE``, as given to ``--set``; the recipe beside this section has them applied."""
    started: str | None = None
    """UTC, ISO 8601."""
    sources: dict[str, Sha256]
    """Of models, data and Python files, by the key that names them, such as ``data.evaluation``."""
    packages: dict[str, str]
    """The versions of the libraries that took part, by distribution name."""
    records: dict[str, Sha256] = Field(default_factory=dict)
    """Of each distribution's file ``RECORD``, which lists its installed files with their digests."""
