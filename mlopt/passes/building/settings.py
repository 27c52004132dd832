"""How an engine is built: plain data, which travels to the child that builds and is stored beside the engine."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mlopt.formats.tensorrt import Range
from mlopt.runtimes.tensorrt_library import Backend

Tiling = Literal["none", "fast", "moderate", "full"]
HardwareCompatible = Literal["same_compute_capability", "ampere_plus"]
Profile = dict[str, Range]


@dataclass(frozen=True)
class EngineSettings:
    """What the library is told; None leaves it to the library."""

    optimization_level: int | None = None
    workspace_mb: int | None = None
    sparsity: bool = False
    hardware_compatible: HardwareCompatible | None = None
    version_compatible: bool = False
    strip_weights: bool = False
    refit: bool = False
    aux_streams: int | None = None
    tiling: Tiling | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return what was set, for JSON."""
        return {name: value for name, value in asdict(self).items() if value is not None and value is not False}


@dataclass(frozen=True)
class EngineOrder:
    """One engine to build."""

    backend: Backend
    model: Path
    """The ONNX file."""
    out: Path
    """Where the engine goes; it is there as a whole or not at all."""
    target: str | None
    """The compute capability to build for, such as ``sm89``; None: the GPU that is here."""
    profiles: tuple[Profile, ...]
    settings: EngineSettings
    timing_cache: Path | None = None
    memory_bytes: int | None = None
    """What the child may take beside the library; None: as much as there is."""


@dataclass(frozen=True)
class Built:
    """What came of it."""

    target: str
    seconds: float
    size_bytes: int
    digest: str
    log: tuple[str, ...]
    """What the library warned of, and what its error recorder has, each once."""
    layers: tuple[dict[str, Any], ...] | None
    """What it made of the model, layer by layer; None where no driver lets it tell."""
