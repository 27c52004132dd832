"""The recipe for a TorchScript file, which does not say what sizes it takes: samples do, named after its parameters."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlopt.core.errors import DataError, ModelError, RecipeError
from mlopt.data.reading import read_npz
from mlopt.formats.model import TORCH, Model, TensorSpec
from mlopt.formats.torch.scripted import Signature, signature
from mlopt.recipe.generate import Draft, looked_at, optional_passes
from mlopt.recipe.given_data import GivenData

_FREE = "batch"
_RECIPE = (
    "a recipe that declares model.inputs takes any data: model: {{source: ./{}, inputs: {{...}}}} (docs/recipe.md)"
)


def draft_for_scripted(file: Path, data: Path | None) -> Draft:
    """Return the draft of a recipe for a TorchScript file, of which nothing runs.

    ``data`` is an ``.npz`` whose arrays are named as parameters of ``forward()`` are; each sample may be in a batch of
    any size. Raises ``RecipeError`` without it, ``DataError`` and ``ModelError``.
    """
    found = signature(file)
    called = ", ".join(each.name for each in found.parameters if each.takes_tensor)
    if data is None:
        raise RecipeError(
            "a TorchScript file does not say what sizes it takes", where=str(file), got="no --data",
            expected=f"an .npz with arrays named {called}, first axis = samples",
            fix=f"mlopt optimize {shlex.quote(str(file))} --data FILE.npz --allow-code, where you trust the file: its "
            f"code runs in PyTorch's interpreter, which is no sandbox; or {_RECIPE.format(file.name)}",
        )  # fmt: skip
    specs = _specs(found, file, data)
    samples, _ = looked_at(data, GivenData(), Model(TORCH, file, "", specs, (), ()), None)
    declared = {spec.name: {"dtype": spec.dtype, "shape": list(spec.shape)} for spec in specs}
    return Draft(
        file, {"name": "fidelity"}, optional_passes(samples), declared={"inputs": declared}, data=data, samples=samples
    )


def _specs(found: Signature, file: Path, data: Path) -> tuple[TensorSpec, ...]:
    """Return the inputs in the order of ``forward()``, in the types and the sizes that the samples have."""
    takes = [each for each in found.parameters if each.takes_tensor]
    if fixed := [str(each) for each in found.parameters if each.required and not each.takes_tensor]:
        raise ModelError(
            "forward() takes more than tensors", where=str(file), got=fixed[0], expected="tensors alone",
            fix="script a module around it that gives the rest, and save that",
        )  # fmt: skip
    if data.suffix != ".npz" or not data.is_file():
        raise DataError(
            "a TorchScript file takes an .npz, whose arrays are named as its parameters are", where=str(data),
            got="no such file" if not data.exists() else "a folder" if data.is_dir() else data.suffix or "no suffix",
            expected=", ".join(each.name for each in takes), fix=_RECIPE.format(file.name),
        )  # fmt: skip
    arrays = read_npz(data, None, tuple(TensorSpec(each.name, "", ()) for each in takes)).inputs
    if not {each.name for each in takes if each.required} <= set(arrays) <= {each.name for each in takes}:
        raise DataError(
            "the arrays are not named as the parameters of forward()", where=str(data), got=", ".join(arrays),
            expected=f"forward({', '.join(map(str, found.parameters))})",
            fix=f"name them in numpy.savez('x.npz', {takes[0].name if takes else 'x'}=array, ...); or "
            f"{_RECIPE.format(file.name)}",
        )  # fmt: skip
    return tuple(_spec(each.name, arrays, found) for each in takes if each.name in arrays)


def _spec(name: str, arrays: Mapping[str, Any], found: Signature) -> TensorSpec:
    array = arrays[name]
    double = str(array.dtype) == "float64" and not found.double  # NumPy's own default, which few models are in
    return TensorSpec(name, "float32" if double else str(array.dtype), (_FREE, *array.shape[1:]))
