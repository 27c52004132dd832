"""Weights out of a file: safetensors, which hold tensors and nothing else; or, where the user agreed, a pickle.

A pickle is a program. Of one, PyTorch's restricted reader takes tensors alone, and what that refuses is not loaded:
there is no second attempt.
"""

from __future__ import annotations

import pickle
import re
import shlex
import warnings
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING

from mlopt.core.errors import ModelError, Problem
from mlopt.formats.filetype import told
from mlopt.formats.torch.files import SAFETENSORS
from mlopt.formats.torch.misfit import fit, names_of, renaming
from mlopt.formats.torch.rebuild import read_state

if TYPE_CHECKING:
    import torch

PICKLES = (".pt", ".pth", ".bin", ".ckpt")
"""How the names of weights that are pickles end."""
_FEW = 20
_THEN = "then name that file in model.weights"
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


def _conversion(weights: Path, *, pick: str = "", name: str = "k", leave: Sequence[str] = ()) -> str:
    """Return the command that writes the same tensors as safetensors; one that is shared is written twice.

    It takes those under the key ``pick``, and none of those in ``leave``; ``name`` is Python for the new name of ``k``.
    """
    read = "torch.load(sys.argv[1], weights_only=True)" if is_pickle(weights) else "s.load_file(sys.argv[1])"
    code = (
        f"import sys, torch, safetensors.torch as s; w = {read}{f'[{pick!r}]' if pick else ''}; "
        f"s.save_file({{{name}: v.contiguous().clone() for k, v in w.items()"
        f"{f' if k not in {sorted(leave)}' if leave else ''}}}, sys.argv[2])"
    )
    stem = weights.stem if is_pickle(weights) and name == "k" and not leave else f"{weights.stem}-renamed"
    return shlex.join(["python", "-c", code, str(weights), str(weights.with_name(f"{stem}.safetensors"))])


def load_weights(module: torch.nn.Module, path: Path) -> None:
    """Load the tensors of a file, which must be exactly those of the module's state dict; raises ``ModelError``."""
    from safetensors import SafetensorError

    if not path.is_file():
        raise ModelError("the weights file does not exist", where=str(path), fix="check model.weights in the recipe")
    try:
        state = _unpickled(path) if is_pickle(path) else read_state(path)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(
            "the weights file is no safetensors file, or damaged", where=str(path),
            got=" ".join(str(error).split())[:200], fix="save it again: safetensors.torch.save_model(model, FILE)",
        ) from error  # fmt: skip
    misfit = fit(module, state)
    if misfit:
        raise ModelError(
            "the weights do not fit the model", where=str(path), got=misfit,
            expected="exactly the keys and shapes of the state dict of the module that build() returns",
            fix=_remedy(set(names_of(module)), state, path),
        )  # fmt: skip


def _remedy(own: Set[str], state: Mapping[str, torch.Tensor], path: Path) -> str:
    """Return how to make the file one that fits."""
    python, _ = renaming(own, set(state))
    if python:
        return f"rename them: {_conversion(path, name=python)}; {_THEN}"
    surplus = set(state) - own
    if surplus and len(surplus) <= _FEW and not own - set(state):
        return f"leave them out: {_conversion(path, leave=sorted(surplus))}; {_THEN}"
    return "save the state dict of the very module that build() returns, or let build() make the module it is of"


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
        kind = told(path)
        raise ModelError(
            "the weights file is no PyTorch file, or damaged", where=str(path),
            got=type(error).__name__ if kind is None else kind.name, expected="a state dict: tensors by name",
            fix=f"rename it to {path.with_suffix('.safetensors').name}" if kind and kind.name == SAFETENSORS
            else f"save the weights again: {_SAVE}",
        ) from error  # fmt: skip
    tensors = _tensors(state)
    if tensors is None:
        inside = [key for key, value in state.items() if _tensors(value)] if isinstance(state, dict) else []
        found = f"{type(state).__name__} with a state dict under '{inside[0]}'" if inside else type(state).__name__
        raise ModelError(
            "the weights file holds no state dict", where=str(path), got=found, expected="tensors by name",
            fix=f"take it out: {_conversion(path, pick=str(inside[0]))}; {_THEN}" if inside
            else f"save the weights again: {_SAVE}",
        )  # fmt: skip
    return tensors


def _tensors(state: object) -> dict[str, torch.Tensor] | None:
    """Return the tensors of a state dict; None if this is none."""
    import torch

    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        return None
    tensors = {name: value for name, value in state.items() if not name.endswith("_extra_state")}
    plain = tensors and all(isinstance(value, torch.Tensor) for value in tensors.values())
    return {n: v for n, v in state.items() if isinstance(v, torch.Tensor)} if plain or not state else None
