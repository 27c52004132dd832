"""What is left behind when a step fails: its input, a recipe of that one step, a few samples, and its log."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np

from mlopt.core.target import Objective, Target
from mlopt.data.choice import some
from mlopt.data.dataset import Dataset
from mlopt.formats.model import Model
from mlopt.formats.table import format_of
from mlopt.formats.torch import portable
from mlopt.formats.torch.model import code_of, read_source
from mlopt.recipe.schema import Step
from mlopt.recipe.yaml_writer import dump
from mlopt.runtimes.base import Array

_SAMPLES, _TRAINED_ON = 16, 256
_MARK = "# Written by mlopt, which replaces this folder when the step fails again.\n"


def write(
    folder: Path, model: Model, steps: Sequence[Step], data: Mapping[str, Dataset | None], target: Target,
    objective: Objective, *, log: Path,
) -> Path:  # fmt: skip
    """Write the folder anew and return it; what it takes to run the steps alone, with a part of each of ``data``.

    Only one that was written here before is replaced: beside any other, the new one gets a number.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    recipe = {
        "apiVersion": "mlopt/v1",
        "name": folder.name.lower(),
        "model": _source(model, work),
        "data": {role: _samples(role, each, work) for role, each in data.items() if each is not None},
        "metric": {"name": "fidelity"},
        "target": target.model_dump(mode="json", exclude_none=True),
        "objective": objective.value,
        "passes": [{step.name: step.config.model_dump(mode="json", exclude_defaults=True)} for step in steps],
        "gates": [{"metric": "fidelity.cosine", "min": 0.99}],
    }
    (work / "recipe.yaml").write_text(_MARK + dump(recipe), encoding="utf-8")
    if log.exists():
        shutil.copyfile(log, work / "step.log")
    else:
        (work / "step.log").write_text("the step ended before it wrote a line\n", encoding="utf-8")
    place = _place(folder)
    shutil.rmtree(place, ignore_errors=True)
    work.rename(place)
    return place


def _place(folder: Path) -> Path:
    """Return the first of ``folder``, ``folder-2`` ... that is free, or a failure bundle itself."""
    numbered = (folder.with_name(f"{folder.name}-{number}") for number in count(2))
    return next(path for path in chain((folder,), numbered) if not os.path.lexists(path) or _is_bundle(path))


def _is_bundle(path: Path) -> bool:
    try:
        with (path / "recipe.yaml").open(encoding="utf-8") as stream:
            return not path.is_symlink() and stream.read(len(_MARK)) == _MARK
    except (OSError, UnicodeDecodeError):
        return False


def _source(model: Model, work: Path) -> dict[str, object]:
    """Copy the model's files; of a module that recipe code builds, the code is named where it stands.

    Unless that code alone builds larger layers than these weights are of: then what makes them lies beside.
    """
    if format_of(model.kind).open_declared is not None:
        inputs = {spec.name: {"dtype": spec.dtype, "shape": list(spec.shape)} for spec in model.inputs}
        built = read_source(model.path) if model.path.is_dir() else {}
        if built.get("sizes"):
            portable.write(model, work / "model")
            return {"source": "./model/build.py:build", "inputs": inputs, "outputs": built["outputs"]}
    for file in model.files:
        target = work / "model" / file.relative_to(model.path if model.path.is_dir() else model.path.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    if format_of(model.kind).open_declared is None:
        return {"source": f"./model/{model.path.name}"}
    if not built:
        return {"source": f"./model/{model.path.name}", "inputs": inputs}
    weights = {"weights": "./model/weights.safetensors"} if (work / "model/weights.safetensors").exists() else {}
    return {"source": str(code_of(model.path)), **weights, "inputs": inputs, "outputs": built["outputs"]}


def _samples(role: str, data: Dataset, work: Path) -> dict[str, str]:
    """Write what the steps need of a data set: all to calibrate on, and to train on also the labels."""
    if role == "calibration":
        _save(work / "calibration.npz", data.inputs)
        return {"source": "./calibration.npz"}
    rows = some(data, _TRAINED_ON if role == "train" else _SAMPLES)
    arrays = {name: array[rows] for name, array in data.inputs.items()}
    if role != "train" or data.labels is None:
        _save(work / f"{role}.npz", arrays)
        return {"source": f"./{role}.npz"}
    name = next(name for name in ("labels", "labels of the samples") if name not in arrays)
    _save(work / "train.npz", {**arrays, name: data.labels[rows]})
    return {"source": "./train.npz", "labels": name}


def _save(path: Path, arrays: Mapping[str, Array]) -> None:
    named: dict[str, Any] = dict(arrays)
    np.savez(path, **named)
