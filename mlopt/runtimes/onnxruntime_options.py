"""How ONNX Runtime is told to open a model: a closed type, since it is read from artifacts of strangers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mlopt.runtimes.base import RuntimeOptions


class OnnxRuntimeOptions(RuntimeOptions):
    """Threads and device, and what ONNX Runtime itself does to a graph."""

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
