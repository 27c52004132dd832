"""One way to run a model, whatever runs it underneath."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from mlopt.model import Kind, Model, TensorSpec

Array = NDArray[Any]
Feeds = Mapping[str, Array]


class RuntimeOptions(BaseModel):
    """How a model is opened: what was measured, and therefore what a deployment must use. Stored in the artifact."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threads: int = Field(ge=1)
    device: str = "cpu"
    graph_optimization: str = Field(
        default="all", pattern="^(none|basic|extended|all)$", description="what the runtime itself does when it loads"
    )
    config_entries: dict[str, str] = Field(default_factory=dict, description="session entries, such as session.x64...")


class Session(Protocol):
    """An open model. ``run`` takes and returns arrays by name, and may be called again and again."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, feeds: Feeds) -> dict[str, np.ndarray[Any, Any]]:
        """Run one inference."""
        ...


class Runtime(Protocol):
    """A library that runs models of some kinds."""

    name: str
    kinds: frozenset[Kind]
    extra: str
    packages: tuple[str, ...]

    def open(self, model: Model, options: RuntimeOptions) -> AbstractContextManager[Session]:
        """Load ``model``; raises ``ModelError`` when the library refuses it, ``MissingPackage`` when it is absent."""
        ...
