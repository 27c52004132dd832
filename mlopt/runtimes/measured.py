"""What other runtimes were worth on machines of a kind: figures that come with mlopt, and say what they rest on.

``measured.json`` beside this file is written by the benchmark of runtimes, never by hand. For each kind of CPU
(``Hardware.cpu_kind``) and each runtime it has the geometric mean, over so many models, of how many times faster the
fastest valid deployable in that runtime was than the fastest in ONNX Runtime. What it lacks is not known.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from mlopt.core.hardware import CpuKind

FILE = Path(__file__).with_name("measured.json")


class RuntimeGain(BaseModel):
    """How many times faster than ONNX Runtime one runtime was, over several models."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    geometric_mean: float = Field(gt=0, allow_inf_nan=False)
    cases: int = Field(ge=1)


Gains = dict[CpuKind, dict[str, RuntimeGain]]


@cache
def gains(file: Path = FILE) -> Gains:
    """Read the figures by kind of CPU and name of runtime; raises pydantic's ``ValidationError``."""
    return TypeAdapter(Gains).validate_json(file.read_bytes())
