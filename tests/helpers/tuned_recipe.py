"""A recipe to tune, small enough that a trial takes a second, and its space on a machine that is made up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from quantization_models import cnn

from mlopt.core.hardware import Hardware
from mlopt.formats.model import ONNX
from mlopt.passes.table import table
from mlopt.recipe.load import parse
from mlopt.recipe.schema import Recipe
from mlopt.tune.space import Space, space_of

TEXT = """\
apiVersion: mlopt/v1
name: small
model: {source: ./net.onnx}
data:
  calibration: {source: ./calibration.npz}
  evaluation: {source: ./evaluation.npz}
metric: {name: fidelity}
target: {runtime: onnxruntime, threads: 1}
passes: [simplify, {quantize: {mode: static, optional: true}}, fuse]
gates: [{metric: fidelity.cosine, min: 0.9}]
measure: {seconds: 0.1, rounds: 7, max_time: 2, operators: false}
"""
MACHINE = Hardware(cpu="a CPU", architecture="x86_64", isa=("avx2", "avx512_vnni"), cores=2, memory_bytes=8 << 30)
SESSIONS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "onnxruntime": {
        "graph_optimization: basic": {"graph_optimization": "basic"},
        "spinning: false": {"spinning": False},
    }
}


def write(folder: Path, text: str = TEXT, calibration: int = 32) -> Path:
    """Put the model, its samples and the recipe into a folder; return the recipe's path."""
    cnn(folder / "net.onnx")
    values = np.random.default_rng(0)
    for name, count in (("calibration", calibration), ("evaluation", 48)):
        np.savez(folder / f"{name}.npz", image=values.normal(size=(count, 3, 8, 8)).astype(np.float32))
    path = folder / "net.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def recipe(folder: Path, text: str = TEXT) -> Recipe:
    """Load the recipe, whose files are there."""
    return parse(text, folder / "net.yaml", passes=table()).recipe


def space(folder: Path, text: str = TEXT, only: Iterable[str] = (), sessions: Any = SESSIONS) -> Space:
    """Return its space; the files are made if need be."""
    if not (folder / "net.onnx").exists():
        write(folder, text)
    return space_of(recipe(folder, text), table(), MACHINE, ONNX, sessions, tuple(only))
