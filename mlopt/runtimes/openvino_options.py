"""How OpenVINO is told to open a model: a closed type, since it is read from artifacts of strangers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mlopt.core.target import MAX_THREADS
from mlopt.runtimes.base import RuntimeOptions


class OpenVinoOptions(RuntimeOptions):
    """Threads, and what OpenVINO would otherwise choose by the machine that it finds itself on.

    There is no folder for its cache among them, and none of its extensions: those are files, and code.
    """

    precision: Literal["exact", "bf16"] = Field(
        default="exact", description="exact: float32, with nothing quantized on the way; bf16 is faster, and lossy"
    )
    shapes: Literal["dynamic", "static"] = Field(
        default="dynamic",
        description="static: compiled anew for each set of sizes that is met, which takes a moment then and is faster "
        "afterwards; of more than a few sets, the others are run as dynamic ones",
    )
    hint: Literal["latency", "throughput"] = Field(default="latency", description="what it schedules for")
    streams: int = Field(
        default=1, ge=1, le=MAX_THREADS, description="inferences at a time, which share the threads; at most as many"
    )
    pinning: bool = Field(
        default=False, description="bind threads to cores: only on a machine that nobody else computes on"
    )
