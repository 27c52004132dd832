"""What the optimized model is meant to run on: the part of a recipe that passes and runtimes need to know."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_THREADS = 1024
MAX_CLIENTS = 256
AUTO = "auto"


class Objective(StrEnum):
    """What "better" means for a recipe."""

    LATENCY = "latency"
    THROUGHPUT = "throughput"
    SIZE = "size"


class Target(BaseModel):
    """Runtime, device and load under which the model is optimized and measured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    runtime: str | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        default=AUTO,
        description="what may run the result: the name of a runtime, several, of which each is tried and the fastest "
        f"that keeps the gates is shipped, or {AUTO}: all that are installed and take the result",
    )
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int | None = Field(
        default=None,
        ge=1,
        le=MAX_THREADS,
        description="threads inside one inference; if absent, the usable cores",
    )
    batch_size: int = Field(default=1, ge=1, description="samples in one measured inference")
    clients: int = Field(
        default=1, ge=1, le=MAX_CLIENTS, description="how many ask at a time, each waiting for its answer"
    )

    @property
    def runtimes(self) -> tuple[str, ...]:
        """The runtimes that are named; none for ``auto``."""
        if isinstance(self.runtime, tuple):
            return self.runtime
        return () if self.runtime == AUTO else (self.runtime,)
