"""What a search knows of a quantized version of a model: what was written, how good it is, and how fast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlopt.compress.quantization.scheme import Mode


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
