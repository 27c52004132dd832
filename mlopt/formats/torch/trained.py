"""What a recipe's ``train()`` comes to: the module that it leaves or returns, and why it could not be made again.

Only parameters and persistent buffers outlive the process that trained, so what else a training changed has to be
named, with the way to keep it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlopt.core.errors import ModelError
from mlopt.formats.torch.misfit import SAME_LAYERS, fit, names_of, renaming
from mlopt.formats.torch.rebuild import unwrapped
from mlopt.formats.torch.witness import KINDS, Lost

if TYPE_CHECKING:
    import torch

_SHOWN = 6
_KEEP = {
    "module": "replace layers in build(), not in train()",
    "tensors": SAME_LAYERS,
    "forward": "define forward() in the class",
    "hooks": "register hooks in build()",
    "buffer": "register {names} with persistent=True",
    "dtype": "train in the dtype that build() makes, or convert the model in build(), too: its weights come back as "
    "build() makes them",
    "tied": "tie weights, or part them, in build()",
    "number": "make {names} a buffer, `self.register_buffer({first}, torch.tensor(...))`, and write into it with "
    "copy_() or fill_(); or set it in build()",
    "layers": "keep {names} in a torch.nn.ModuleList or ModuleDict",
    "setting": "set {names} in build(), not in train()",
    "extra state": "keep in buffers what get_extra_state() returns",
    "class": "set {names} in build(), which every process runs anew",
    "global": "set {names} in build(), which every process runs anew",
}
"""How each kind of what was lost is kept."""
_LABEL = {"number": "attribute", "setting": "attribute", "layers": "list of layers", "hooks": "hooks of",
          "forward": "forward() of", "tied": "shared weights",
          "dtype": "dtype of"}  # fmt: skip


def trained(built: torch.nn.Module, returned: Any, where: str) -> torch.nn.Module:
    """Return the module that the training is about: one that ``train()`` returned, or the one that it was given.

    A state dict that it returned is loaded. Raises ``ModelError`` for several modules, or weights of another one.
    """
    found = list(_found(returned))
    modules = list({id(each): each for each in map(unwrapped, _modules(found))}.values())
    others = [each for each in modules if each is not built]
    if len(modules) > 1:
        raise ModelError(
            "train() returns several models", where=where, got=", ".join(type(each).__name__ for each in modules),
            expected="one, or none: then the model that it was given counts", fix="return the one that is meant",
        )  # fmt: skip
    own = set(names_of(built))
    for state in (each for each in found if isinstance(each, Mapping)):
        if not modules and (set(state) & own or renaming(own, set(state))[0]) and (misfit := fit(built, state)):
            raise ModelError(
                "train() returns weights that do not fit the model", where=where, got=misfit,
                expected="the state dict of the model that it was given", fix="load them into it in train() itself",
            )  # fmt: skip
    return others[0] if others else built


def _modules(found: Sequence[Any]) -> Iterator[torch.nn.Module]:
    import torch

    return (each for each in found if isinstance(each, torch.nn.Module))


def _found(value: Any, depth: int = 2) -> Iterator[Any]:
    """Yield the modules, and the mappings of names to tensors, in what a function returned."""
    import torch

    tensors = isinstance(value, Mapping) and value and all(isinstance(each, torch.Tensor) for each in value.values())
    if tensors or isinstance(value, torch.nn.Module):
        yield value
    elif isinstance(getattr(value, "model", None), torch.nn.Module):  # a trainer, with what it trained
        yield value.model
    elif depth and isinstance(value, Mapping | tuple | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _found(item, depth - 1)


def not_rebuilt(reason: str, lost: Sequence[Lost], where: str, *, trained: bool) -> ModelError:
    """Return the error for a module whose answers change when it is made again, with what was ``lost`` on the way."""
    told = lost[:_SHOWN]
    shown = [f"{_LABEL.get(each.kind, each.kind)} {each.name!r} ({each.values})" for each in told]
    more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
    hidden = "nothing that mlopt sees: look at what forward() reads from files, other packages or the clock"
    ways = [_keep(kind, [each.name for each in told if each.kind == kind]) for kind in KINDS]
    once = "let build() make the same model each time: seed its random numbers, and read no clock"
    if not trained:
        names = " and ".join(repr(each.name) for each in told if each.kind in {"number", "buffer"})
        ways = [once, f"or keep {names} in a parameter or a persistent buffer" if names else ""]
    return ModelError(
        "the trained model is lost: build() and the saved weights answer differently" if trained
        else "build() makes another model each time",
        where=where, got=f"{reason}; different: {', '.join(shown) + more if shown else hidden}",
        expected="all that makes up the model in parameters, persistent buffers and build()",
        fix="; ".join(filter(None, ways)) or once,
    )  # fmt: skip


def _keep(kind: str, names: Sequence[str]) -> str:
    short = [repr(name.partition(" of ")[0].rpartition(".")[2]) for name in names]
    return _KEEP[kind].format(names=" and ".join(short), first=short[0]) if names else ""
