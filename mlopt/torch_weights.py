"""Weights out of a file: safetensors, which hold tensors and nothing else; or, where the user agreed, a pickle.

A pickle is a program. Of one, PyTorch's restricted reader takes tensors alone, and what that refuses is not loaded:
there is no second attempt.
"""

from __future__ import annotations

import pickle
import re
import shlex
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlopt.errors import ModelError, Problem

if TYPE_CHECKING:
    import torch

PICKLES = (".pt", ".pth", ".bin", ".ckpt")
"""How the names of weights that are pickles end."""
_SAVE = "safetensors.torch.save_model(model, 'weights.safetensors')"


def is_pickle(weights: Path) -> bool:
    """Whether a file of weights is, by its name, a pickle."""
    return weights.suffix in PICKLES


def refused_pickle(where: str, weights: Path) -> Problem:
    """Return the problem of weights in a pickle that the user did not agree to read."""
    return Problem(
        "these weights are a pickle, and loading a pickle can run any code",
        where,
        str(weights),
        "a .safetensors file",
        f"convert it where that is safe: {_conversion(weights)}; or add --allow-pickle, which reads tensors only",
    )


def _conversion(weights: Path) -> str:
    """Return the command that writes the same tensors as safetensors; one that is shared is written twice."""
    code = (
        "import sys, torch, safetensors.torch as s; w = torch.load(sys.argv[1], weights_only=True); "
        "s.save_file({k: v.contiguous().clone() for k, v in w.items()}, sys.argv[2])"
    )
    return shlex.join(["python", "-c", code, str(weights), str(weights.with_suffix(".safetensors"))])


def load_weights(module: torch.nn.Module, path: Path) -> None:
    """Load the tensors of a file, which must be exactly those of the module's state dict; raises ``ModelError``."""
    from safetensors import SafetensorError
    from safetensors.torch import load_model

    if not path.is_file():
        raise ModelError("the weights file does not exist", where=str(path), fix="check model.weights in the recipe")
    try:
        if is_pickle(path):
            missing, unexpected = module.load_state_dict(_unpickled(path), strict=False)
        else:
            missing, unexpected = load_model(module, path, strict=False)
    except (SafetensorError, RuntimeError, EOFError, TypeError, AttributeError, IndexError) as error:
        raise ModelError(
            "the weights do not fit the model", where=str(path), got=" ".join(str(error).split())[:400],
            expected="the state dict of the module that build() returns",
        ) from error  # fmt: skip
    if missing or unexpected:
        raise ModelError(
            "the weights do not fit the model", where=str(path),
            got=f"missing: {_some(missing)}; unexpected: {_some(unexpected)}",
            expected="exactly the keys of the module's state dict",
        )  # fmt: skip


def _unpickled(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors in a pickle. PyTorch's restricted reader is the only one: what it refuses is not loaded."""
    import torch

    try:
        with warnings.catch_warnings(action="ignore"):  # about the bytes of the file, which the result says better
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, IndexError, ValueError, KeyError, OSError) as error:
        more = re.search(r"GLOBAL ([\w.]+)", str(error))
        if more or "TorchScript" in str(error):
            raise ModelError(
                "the weights file holds more than tensors, and loading it could run code", where=str(path),
                got=more[1] if more else "a TorchScript program", expected="a state dict: tensors by name",
                fix=f"where you trust the file, save its tensors alone: {_SAVE}",
            ) from error  # fmt: skip
        raise ModelError(
            "the weights file is no PyTorch file, or damaged", where=str(path), got=type(error).__name__, fix=_SAVE
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ModelError(
            "the weights file holds no state dict", where=str(path), got=type(state).__name__,
            expected="tensors by name", fix=_SAVE,
        )  # fmt: skip
    return state


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(sorted(names)[:5])
    return (f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown) or "none"
