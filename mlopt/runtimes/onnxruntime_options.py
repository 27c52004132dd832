"""How ONNX Runtime is told to open a model: a closed type, since it is read from artifacts of strangers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from mlopt.core.target import MAX_THREADS
from mlopt.runtimes.base import RuntimeOptions

MAX_BLOCK_BASE = 64
_ALWAYS_TOLD = frozenset({*RuntimeOptions.model_fields, "graph_optimization"})


class OnnxRuntimeOptions(RuntimeOptions):
    """Threads and device, what ONNX Runtime itself does to a graph, and how it spends threads and memory on it.

    What is as it is by default is written only for the first three, which every artifact and report has: the others
    are read by earlier versions, and by comparisons with their reports, where they say something.
    """

    graph_optimization: Literal["none", "basic", "extended", "all"] = Field(
        default="all", description="what the runtime itself does when it loads"
    )
    inter_op_threads: int = Field(
        default=1, ge=1, le=MAX_THREADS, description="operators at a time, which share the threads; at most as many"
    )
    spinning: bool = Field(default=True, description="threads that wait keep their core busy, so as to start at once")
    memory_pattern: bool = Field(default=True, description="plan a feed's memory as a whole when its sizes come again")
    memory_arena: bool = Field(default=True, description="keep memory for the next inference")
    prepacking: bool = Field(default=True, description="lay weights out for the kernels when the model is loaded")
    dynamic_block_base: int = Field(
        default=0, ge=0, le=MAX_BLOCK_BASE, description="parts per thread that work is cut into, ever smaller; 0: equal"
    )

    provider: Literal["default", "tensorrt"] = Field(
        default="default", description="of device cuda: CUDA's kernels, or TensorRT's where it takes the operators"
    )

    @model_validator(mode="before")
    @classmethod
    def _as_once(cls, value: object) -> object:
        """Read what earlier versions wrote: they had session entries as well, and never used them."""
        if isinstance(value, dict) and value.get("config_entries") == {}:
            return {key: its for key, its in value.items() if key != "config_entries"}
        return value

    @model_serializer(mode="wrap")
    def _what_is_said(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields, told = type(self).model_fields, handler(self)
        return {key: its for key, its in told.items() if key in _ALWAYS_TOLD or its != fields[key].default}
