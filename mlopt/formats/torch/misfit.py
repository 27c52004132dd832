"""Weights and a module that do not go together: what exactly does not, and which rename would mend it.

Wrappers such as ``torch.compile`` put parts into the names of weights, so the module inside is what counts.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence, Set
from functools import partial
from typing import TYPE_CHECKING

from mlopt.core.errors import ModelError
from mlopt.formats.torch.rebuild import load_state

if TYPE_CHECKING:
    import torch

SAME_LAYERS = "make the same layers and buffers, of the same sizes, in build(): train() may change their values only"
_UNDO = {
    "parametrizations.": "end train() with torch.nn.utils.parametrize.remove_parametrizations(layer, 'weight')",
    "_mask": "end train() with torch.nn.utils.prune.remove(layer, 'weight')",
    "weight_g": "end train() with torch.nn.utils.remove_weight_norm(layer)",
    "lora_": "end train() with `return model.merge_and_unload()`",
}
"""By what names of tensors tell that something was put on a module, how to take it off."""


def fit(module: torch.nn.Module, state: Mapping[str, torch.Tensor]) -> str | None:
    """Load the tensors into the module; return why that is not possible, or None."""
    reason = None
    try:
        missing, unexpected = load_state(module, state)
    except Exception as error:  # noqa: BLE001 - hooks of the module's author may read the state, too
        missing, unexpected = [], []
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"[:400]
    shapes = {name: list(value.shape) for name, value in names_of(module).items()}
    others = [
        f"{name} is {list(state[name].shape)} and not {shape}"
        for name, shape in shapes.items()
        if name in state and list(state[name].shape) != shape
    ]
    if reason:
        return f"size mismatch: {_some(others, '; ')}" if others else reason
    if missing or unexpected:
        _, why = renaming(set(shapes), set(state))
        near = why or _nearest(missing, unexpected, shapes, state)
        return f"missing: {_some(missing)}; unexpected: {_some(unexpected)}{f'; {near}' if near else ''}"
    return None


def unfitting(misfit: str, where: str) -> ModelError:
    """Return the error for saved weights that what ``build()`` makes does not take."""
    undo = next((how for name, how in _UNDO.items() if name in misfit), None)
    return ModelError(
        "build() does not make the module that was saved, so its weights do not fit", where=where, got=misfit,
        expected="the layers that build() makes, with other values", fix=undo or SAME_LAYERS,
    )  # fmt: skip


def names_of(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the tensors of the module's state dict."""
    import torch

    return {name: value for name, value in module.state_dict().items() if isinstance(value, torch.Tensor)}


def renaming(own: Set[str], given: Set[str]) -> tuple[str, str]:
    """Return Python that makes the module's own name of a given name ``k``, and what differs; else two empty texts.

    Looked for is a prefix to leave out or to add, and what wrappers (``torch.compile``, ``DataParallel``) put inside.
    """
    ways: list[tuple[Callable[[str], str], str, str]] = [
        *((partial(_without, each), f"k.replace({each!r}, '')", f"the given names have '{each}'")
          for each in ("_orig_mod.", "module.")),
        *((partial(_cut, each), f"k.removeprefix({each!r})", f"the given names start with '{each}'")
          for each in _dotted(given)),
        *((each.__add__, f"{each!r} + k", f"the model's names start with '{each}'") for each in _dotted(own)),
    ]  # fmt: skip
    for way, python, why in ways:
        new = {way(name) for name in given}
        if (new <= own or new >= own) and len(new) == len(given) and len(new & own) > len(given & own):
            return python, f"{why}, and the others do not"
    return "", ""


def _without(text: str, name: str) -> str:
    return name.replace(text, "")


def _cut(prefix: str, name: str) -> str:
    return name.removeprefix(prefix)


def _dotted(names: Set[str]) -> list[str]:
    """Return the beginnings of names up to a dot, the shortest first."""
    found = {name[: end + 1] for name in sorted(names)[:50] for end, letter in enumerate(name) if letter == "."}
    return sorted(found, key=lambda prefix: (len(prefix), prefix))


def _nearest(
    missing: Sequence[str],
    unexpected: Sequence[str],
    shapes: Mapping[str, list[int]],
    state: Mapping[str, torch.Tensor],
) -> str:
    """Say which unexpected tensor could be a missing one: of the same shape, with the most similar name."""
    for name in missing:
        alike = [other for other in unexpected if list(state[other].shape) == shapes.get(name)]
        close = difflib.get_close_matches(name, alike, n=1, cutoff=0)
        if close:
            return f"{name} may be what is called {close[0]} there, also {shapes[name]}"
    return ""


def _some(names: Sequence[str], separator: str = ", ") -> str:
    shown = separator.join(sorted(names)[:5])
    return (f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown) or "none"
