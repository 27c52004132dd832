"""The source model that a recipe's Python makes: built, trained, and kept as ``mlopt.formats.torch.model`` reads it.

No pickle is kept. One is read only where the user agreed (``--allow-pickle``), and then as tensors alone.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlopt.core.errors import ModelError
from mlopt.core.usercode import CodeReference
from mlopt.formats.model import Model, TensorSpec
from mlopt.formats.onnx.file import open_onnx
from mlopt.formats.torch.call import bind
from mlopt.formats.torch.model import (
    SOURCE,
    WEIGHTS,
    call,
    code_of,
    evaluating,
    import_torch,
    load_module,
    open_torch,
    read_source,
)
from mlopt.formats.torch.rebuild import unwrapped
from mlopt.formats.torch.state import check_present, check_sized, save_state
from mlopt.formats.torch.trained import not_rebuilt, trained
from mlopt.formats.torch.weights import load_weights
from mlopt.formats.torch.witness import Feed, Witness, answers_differ, lost, observe

_NO_MODULE = (
    "wrap it: class Model(torch.nn.Module): with `def forward(self, x): return function(x)`, and return Model()"
)
_DECLARE = "declare it in the recipe: model.inputs: {image: {dtype: float32, shape: [batch, 3, 224, 224]}}"


@dataclass(frozen=True)
class Made:
    """A model on disk, and what it was in memory; None for an ``.onnx`` file."""

    model: Model
    witness: Witness | None


def materialize(
    code: CodeReference,
    weights: CodeReference | Path | None,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[str, ...],
    out: Path,
) -> Model:
    """Build the module, train it or load its weights, and write it into the empty directory ``out``.

    ``weights`` is a function that trains the module, or a ``.safetensors`` or ``.pt`` file of its state dict.
    If ``build()`` returns the path of an ``.onnx`` file, that model is copied instead. Runs with a fixed seed.
    """
    return make(code, weights, inputs, outputs, out).model


def make(
    code: CodeReference,
    weights: CodeReference | Path | None,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[str, ...],
    out: Path,
    feeds: Sequence[Feed] = (),
) -> Made:
    """Do what ``materialize`` does, and observe the module on ``feeds``, for ``check_rebuilt`` in another process."""
    from mlopt.formats.torch.module import Flat

    torch = import_torch()
    built = call(code)
    if isinstance(built, str | Path):
        return Made(_copy_onnx(Path(built), code, out), None)
    if not isinstance(built, torch.nn.Module):
        raise ModelError(
            "the function does not return a model", where=str(code), got=type(built).__name__,
            expected="torch.nn.Module, torch.jit.ScriptModule, or the path of an .onnx file",
            fix=_NO_MODULE if callable(built) else f"end {code.function}() with `return model`",
        )  # fmt: skip
    if not inputs:
        raise ModelError("a PyTorch model does not say what it takes", where=str(code), fix=_DECLARE)
    module, names, made_by = unwrapped(built), [spec.name for spec in inputs], str(code)
    check_sized(module, made_by)
    bind(module, names, made_by)  # before the training, which may take long
    if isinstance(weights, CodeReference):
        module = trained(module, call(weights, built), str(weights))
    elif weights is not None:
        load_weights(module, weights)
    check_present(module, made_by)
    save_state(module.cpu(), out / WEIGHTS, made_by)
    _write_source(out, inputs, outputs, code, weights)
    flat = Flat(evaluating(module), *bind(module, names, made_by), outputs)
    before = {name for name, _ in module.named_parameters()}
    witness = observe(flat, inputs, feeds, code)
    if late := sorted({name for name, _ in module.named_parameters()} - before):
        raise ModelError(
            "forward() makes weights when it is first called, so they are random in every process", where=made_by,
            got=late[0], expected="weights that build() makes",
            fix="make the layer in __init__(), or call the model once at the end of build()",
        )  # fmt: skip
    return Made(open_torch(out), witness)


def check_rebuilt(made: Made, feeds: Sequence[Feed]) -> None:
    """Raise ``ModelError`` if the module that is made from what was kept is not the one that was; in a new process."""
    if made.witness is None:
        return
    source, code = read_source(made.model.path), code_of(made.model.path)
    now = observe(load_module(made.model), made.model.inputs, feeds, code)
    reason = answers_differ(made.witness, now)
    if reason is not None:
        raise not_rebuilt(
            reason, lost(made.witness, now), source["weights"] or str(code), trained=bool(source["trained"])
        )


def onnx_digest(code: CodeReference) -> str | None:
    """Return the digest of the ``.onnx`` file that the function names now; None if it names none."""
    built = code.load()()
    return open_onnx(Path(built)).digest if isinstance(built, str | Path) else None


def _copy_onnx(path: Path, code: CodeReference, out: Path) -> Model:
    source = open_onnx(path if path.is_absolute() else code.path.parent / path)
    for file in source.files:
        target = out / file.relative_to(source.path.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    return open_onnx(out / source.path.name)


def _write_source(
    out: Path, inputs: tuple[TensorSpec, ...], outputs: tuple[str, ...], code: CodeReference,
    weights: CodeReference | Path | None,
) -> None:  # fmt: skip
    source = {
        "code": str(code.path),
        "function": code.function,
        "code_digest": code.digest,
        "inputs": [spec.as_dict() for spec in inputs],
        "outputs": list(outputs),
        "weights": None if weights is None else str(weights),
        "trained": isinstance(weights, CodeReference),
    }
    (out / SOURCE).write_text(json.dumps(source, indent=2) + "\n", encoding="utf-8")
