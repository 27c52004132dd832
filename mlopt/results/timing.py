"""What a search asks of the machine at hand, and the figures that it is given: where time goes, and what is faster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class NodeTime:
    """The median time of one node in one inference; a node with a body (If, Loop, Scan) counts without it."""

    name: str
    op_type: str
    ms: float
    precision: str = ""
    """The type that it computes in; empty if the runtime does not tell."""


@dataclass(frozen=True)
class Layer:
    """One layer of what a runtime made of a model."""

    name: str
    op_type: str
    precision: str
    """The type that it computes in, such as ``f32``, ``bf16`` or ``u8``."""
    kernel: str
    """Such as ``brgconv_avx512_amx_I8``."""
    made_of: tuple[str, ...]
    """What the runtime calls the nodes that are in it; none for a change of layout."""


@dataclass(frozen=True)
class Speed:
    """How many times faster than FP32 a version is, with its interval."""

    median: float
    low: float
    high: float

    @property
    def faster(self) -> bool:
        """Whether it is measurably faster."""
        return self.low > 1.0

    def __str__(self) -> str:
        return f"{self.median:.2f}x ({self.low:.2f} to {self.high:.2f})"


class Measuring(Protocol):
    """Times versions of one model on real samples."""

    def profile(self, path: Path) -> list[NodeTime]:
        """Time the nodes of one version."""
        ...

    def race(self, versions: Mapping[str, Path], max_time: float) -> dict[str, Speed]:
        """Compare versions with the model, in ``max_time`` seconds."""
        ...
