"""One way to run a model, whatever runs it underneath."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from mlopt.model import Kind, Model, TensorSpec
from mlopt.target import MAX_THREADS

Array = NDArray[Any]
Feeds = Mapping[str, Array]


class RuntimeOptions(BaseModel):
    """How a model is opened: what was measured, and therefore what a deployment must use. Stored in the artifact.

    Artifacts of strangers are read too, so this is a closed type: each key is one that mlopt writes, each value one of
    a few. Nothing in it names a file or a library, or is passed on to a runtime as it stands: runtimes have settings
    that write files and load code.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    threads: int = Field(ge=1, le=MAX_THREADS)
    device: Literal["cpu", "cuda"] = "cpu"
    graph_optimization: Literal["none", "basic", "extended", "all"] = Field(
        default="all", description="what the runtime itself does when it loads"
    )

    @model_validator(mode="before")
    @classmethod
    def _as_once(cls, value: object) -> object:
        """Read what earlier versions wrote: they had session entries as well, and never used them."""
        if isinstance(value, dict) and value.get("config_entries") == {}:
            return {key: its for key, its in value.items() if key != "config_entries"}
        return value


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
