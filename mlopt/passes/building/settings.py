"""How an engine is built: plain data, which travels to the child that builds and is stored beside the engine."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mlopt.formats.tensorrt import Engine, Precision, Range, Shapes
from mlopt.results.timing import Layer
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
    folder: Path
    """Where the engine goes; it is there as a whole or not at all."""
    target: str | None
    """The compute capability to build for, such as ``sm89``; None: the GPU that is here."""
    precision: Precision
    """Of most layers: what the engine is called after. What is built is what the ONNX file says."""
    shapes: Shapes
    """``static``: it takes the first profile's ``opt`` alone, or the model's own sizes."""
    source: str
    """The digest of the model in the artifact's terms, before it was made readable."""
    profiles: tuple[Profile, ...]
    settings: EngineSettings = EngineSettings()
    timing_cache: Path | None = None
    memory_bytes: int | None = None
    """What the child may take beside the library; None: as much as there is."""

    @property
    def label(self) -> str:
        """What it is called in errors: ``sm89 int8 static``."""
        return f"{self.target or 'this GPU'} {self.precision} {self.shapes}"

    def file(self, target: str) -> Path:
        """Where it goes, once it is known what it is for."""
        return self.folder / f"{target}_{self.precision}_{self.shapes}.engine"


@dataclass(frozen=True)
class Built:
    """What came of it."""

    engine: Engine
    log: tuple[str, ...]
    """What the library warned of, and what its error recorder has, each once."""
    layers: tuple[Layer, ...] = ()
    """What it made of the model, layer by layer; none where no driver lets it tell."""
