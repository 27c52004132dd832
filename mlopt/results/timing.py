"""What a search asks of the machine at hand, and the figures that it is given: where time goes, and what is faster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


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
    """How many times faster than the model as it is (FP32, of a search for numbers) something is, with its interval."""

    median: float
    low: float
    high: float

    @property
    def faster(self) -> bool:
        """Whether it is measurably faster."""
        return self.low > 1.0

    def __str__(self) -> str:
        return f"{self.median:.2f}x ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True)
class Race:
    """One interleaved run of several ways to run a model, and of two copies of the way in which it is run as it is."""

    speeds: Mapping[str, Speed]
    """Of each way, against the faster of the two copies, which only chance tells apart."""
    control: Speed
    """Of the second copy, against the first."""
    lost: Mapping[str, str]
    """Why the others could not be measured."""

    @property
    def noise(self) -> float:
        """How large a gain this run shows where there is none: at 0.03, a speed of 1.03 cannot be told from chance."""
        return max(self.control.high, 1 / self.control.low) - 1

    def gains(self, name: str) -> bool:
        """Whether a way is faster by more than the two copies differ, and surely so.

        Where the copies themselves surely differ the machine changed meanwhile, and every speed may be off by as much.
        """
        speed = self.speeds.get(name)
        if speed is None:
            return False
        off = 1.0 if self.control.low <= 1 <= self.control.high else 1 + self.noise
        return speed.low > off and speed.median > 1 + self.noise

    def may_gain(self, name: str) -> bool:
        """Whether a way may be faster, by what this run can tell: it is not surely slower, nor by more than noise."""
        speed = self.speeds.get(name)
        return speed is not None and speed.high > 1 and speed.median * (1 + self.noise) > 1


@dataclass(frozen=True)
class Rival:
    """What may be shipped instead of a model, and is faster."""

    told: str
    """What it is, inside a sentence."""
    times: float
    """How many times as fast as the model, at first sight."""


class Measuring(Protocol):
    """Times versions of one model on real samples, or one model run in several ways."""

    def profile(self, path: Path, max_time: float = ...) -> list[NodeTime]:
        """Time the nodes of one version, in ``max_time`` seconds; raises ``MeasureError``, if they are up too."""
        ...

    def race(self, versions: Mapping[str, Path], max_time: float) -> dict[str, Speed]:
        """Compare versions with the model, in ``max_time`` seconds."""
        ...

    def race_options(
        self, options: Mapping[str, Any], *, seconds: float, max_time: float = 0.0, clients: int = 1
    ) -> Race:
        """Compare the model with itself opened with other options, each a value of its runtime's own type.

        Each is measured for ``seconds``; where a gain is not certain then, and ``max_time`` (seconds) allows, longer.
        ``clients`` ask at a time. With ``max_time`` the intervals hold for all options together, else each for itself.
        """
        ...
