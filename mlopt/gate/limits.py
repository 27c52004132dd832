"""What a gate may say: one limit, and how it is to be judged."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mlopt.gate.vocabulary import METRICS, did_you_mean
from mlopt.results import roles
from mlopt.results.report import Environment

BASELINE = "baseline"
"""The name that stands for the stored report given by ``mlopt gate --baseline``."""
_NO_GPU = "none"


class HardwareClass(BaseModel):
    """The machines that a limit is meant for; a key that is absent says nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cpu: str | None = Field(default=None, description="the CPU's name, such as AMD EPYC*; upper or lower case")
    cores: int | None = Field(default=None, ge=1, description="usable cores, exactly")
    isa: tuple[str, ...] = Field(default=(), description="instruction sets that it must have, such as avx512_vnni")
    gpu: str | None = Field(default=None, description="the GPU's name, such as NVIDIA L4*; none if there must be none")

    def mismatch(self, found: Environment) -> str | None:
        """Return how a machine differs from this class; None if it belongs to it."""
        gpu, lacks = found.gpu or _NO_GPU, [name for name in self.isa if name not in found.cpu.isa]
        wrong = [
            f"its CPU is {found.cpu.model}" if self.cpu and not _like(found.cpu.model, self.cpu) else "",
            f"it has {found.cpu.cores} cores" if self.cores and found.cpu.cores != self.cores else "",
            f"it lacks {' and '.join(lacks)}" if lacks else "",
            f"its GPU is {gpu}" if self.gpu and not _like(gpu, self.gpu) else "",
        ]
        return ", ".join(filter(None, wrong)) or None

    def __str__(self) -> str:
        parts = [self.cpu, f"{self.cores} cores" if self.cores else None, *self.isa]
        return ", ".join([part for part in parts if part] + ([f"GPU {self.gpu}"] if self.gpu else [])) or "any machine"


class Gate(BaseModel):
    """One limit: exactly one of ``max`` and ``min``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str = Field(description="what is limited, such as latency.p95_ms, accuracy.drop_pt or speedup.median")
    max: float | None = Field(default=None, strict=True, allow_inf_nan=False, description="the figure may be at most")
    min: float | None = Field(default=None, strict=True, allow_inf_nan=False, description="the figure must be at least")
    vs: str | None = Field(
        default=None,
        min_length=1,
        description=f"for ratios and drops: a reference such as {roles.BASELINE} (the baseline if absent), or a stored "
        "report: a report.json or a directory with one, or baseline for the one given by --baseline",
    )
    confidence: float = Field(
        default=0.95, strict=True, gt=0.5, le=0.9999, description="how sure a verdict must be; 0.95 if absent"
    )
    on_inconclusive: Literal["fail", "warn", "pass"] | None = Field(
        default=None, description="what an undecided gate counts as (warn: as pass); recorded"
    )
    hardware: HardwareClass | None = Field(default=None, description="the machines that this limit is meant for")

    @field_validator("metric")
    @classmethod
    def _known(cls, metric: str) -> str:
        if metric not in METRICS:
            raise ValueError(f"there is no metric '{metric}'; {did_you_mean(metric, METRICS)}")
        return metric

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if (self.max is None) == (self.min is None):
            raise ValueError("a gate takes exactly one of `max` and `min`")
        if self.vs is not None and not METRICS[self.metric].takes_vs:
            raise ValueError(f"`vs` does not go with {self.metric}: it compares with nothing")
        return self

    @property
    def bound(self) -> float:
        """The number of the limit."""
        return self.max if self.max is not None else self.min if self.min is not None else 0.0

    @property
    def limit(self) -> str:
        """The limit as text, such as ``>= 1.2 vs onnx_fp32`` or ``<= 12 on AMD EPYC*``."""
        text = f"{'<=' if self.max is not None else '>='} {self.bound:.10g}"
        text += f" vs {self.vs}" if self.vs else ""
        return text + (f" on {self.hardware}" if self.hardware else "")


def is_stored(vs: str) -> bool:
    """Whether ``vs`` names a stored report: ``baseline``, a .json file, or a directory (it has a slash)."""
    return vs == BASELINE or vs.endswith(".json") or ("/" in vs and not vs.endswith(".onnx"))


def _like(name: str, pattern: str) -> bool:
    return fnmatchcase(name.lower(), pattern.lower())
