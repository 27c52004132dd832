"""What a search knows of a quantized version of a model: what was written, how good it is, and how fast."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mlopt.compress.quantization.scheme import Mode
from mlopt.formats.model import Model
from mlopt.results.timing import Speed

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Written:
    """What became of the nodes of a job that was written."""

    quantized: frozenset[str]
    per_tensor: Mapping[str, str]
    """Nodes with one scale per weight although one per channel was asked for, and why."""
    left: Mapping[str, str]
    """Nodes that had to stay in floating point, and why."""
    fault: str | None = None
    """Why the file is of no use, if it is of none."""
    remarks: tuple[str, ...] = ()
    """What else the report should say of the file."""


@dataclass(frozen=True)
class Quality:
    """How good a model is on the samples that were held back."""

    cosine: float
    sqnr_db: float | None
    """Of the worst output; None if the outputs are equal."""
    value: float | None
    """The recipe's metric, if it can be computed on these samples."""
    objection: str | None
    """Which limit is not kept, in words."""

    @property
    def noise(self) -> float:
        """The energy of the error over that of the signal, which adds up over layers."""
        return 0.0 if self.sqnr_db is None else float(10 ** (-self.sqnr_db / 10))


@dataclass(frozen=True)
class Version:
    """A set of layers in one mode, written and judged."""

    mode: Mode
    layers: tuple[str, ...]
    path: Path
    written: Written
    quality: Quality
    number: int
    """Its row in the account's front."""
    smoothed: bool = False
    """Whether it is the one of the other quantizer, ``Writing.smoothed``."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The model, and its external data if it has any."""
        return tuple(sorted(self.path.parent.iterdir()))

    @property
    def size_bytes(self) -> int:
        """All its files together."""
        return sum(file.stat().st_size for file in self.files)


@dataclass(frozen=True)
class SearchResult:
    """What the search ends with: the version to keep, or the reason why there is none; and the account of it."""

    version: Version | None
    reason: str | None
    left: Mapping[str, str]
    """Layers that stay in FP32, and why."""
    notes: Mapping[str, Any]


class Writing(Protocol):
    """What writes the versions (``writer.Writer``)."""

    model: Model
    graph: onnx.GraphProto
    weighted: tuple[str, ...]

    def layers(self, mode: Mode) -> tuple[str, ...]:
        """Name the layers that can change."""

    def weight_bytes(self) -> dict[str, int]:
        """Return what each layer's weights take in FP32."""

    def activations(self) -> dict[str, int]:
        """Return how many values each layer reads, and, under "", how many the last one writes."""

    def write(self, mode: Mode, layers: Collection[str], out: Path) -> Written:
        """Write a version."""

    def smoothed(self, out: Path) -> Written | None:
        """Write a static version of all layers whose activations were smoothed before; None where nothing does that."""

    def mend(self, mode: Mode, out: Path, *, deadline: float) -> bool:
        """Correct a version that is too lossy; return whether that changed it."""


class Judging(Protocol):
    """What tells how good a version is (``quality_check.QualityCheck``)."""

    def quality(self, path: Path) -> Quality:
        """Judge one version."""


_TIE, _OVERLAP = 0.98, 0.95
"""Versions this near the fastest count as equally fast, since no short race tells them apart: within the first share,
or within the other if their intervals overlap."""


def about_as_fast(speed: Speed, best: Speed) -> bool:
    """Whether a race does not tell a version from the fastest."""
    share = speed.median / best.median
    return share >= _TIE or (share >= _OVERLAP and speed.high >= best.low)
