"""What goes on inside a student and its teacher: layers that are to give the same, however wide they are.

This module imports torch: import it inside functions only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mlopt.compress.distill import losses
from mlopt.core.errors import ModelError
from mlopt.formats.torch.module import flatten

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["mse", "attention"]


@contextmanager
def watched(module: nn.Module, layers: Sequence[str], where: str) -> Iterator[dict[str, Tensor]]:
    """Give what the layers return, by name, after a run; raises ``ModelError`` for names that there are not."""
    parts, seen = dict(module.named_modules()), dict[str, Tensor]()
    if unknown := [name for name in layers if name not in parts]:
        raise ModelError("there is no such layer", where=where, got=unknown[0],
                         expected="a name of named_modules()", fix=_near(unknown[0], list(parts)))  # fmt: skip

    def keep(name: str) -> Any:
        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            seen[name] = next(value for _, value in flatten(output))

        return hook

    handles = [parts[name].register_forward_hook(keep(name)) for name in layers]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


class Projectors(nn.Module):  # type: ignore[misc]  # torch is not followed by mypy here
    """A layer for each pair whose widths differ, from the student's to the teacher's; they learn along.

    Features are [samples, channels, ...] for convolutions (a 1x1 one projects), else [samples, ..., width].
    """

    def __init__(self, pairs: Mapping[str, str], ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.pairs = dict(pairs)
        self.projectors = nn.ModuleDict({
            str(number): _projector(ours[own], theirs[other]) for number, (own, other) in enumerate(pairs.items())
        })  # fmt: skip

    def loss(self, ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], kind: Kind) -> Tensor:
        """Return the mean loss of all pairs."""
        every = []
        for number, (own, other) in enumerate(self.pairs.items()):
            student, teacher = ours[own], theirs[other].detach()
            if kind == "attention":
                every.append(losses.attention(student, teacher))
            else:
                every.append(functional.mse_loss(self.projectors[str(number)](student).float(), teacher.float()))
        return torch.stack(every).mean()


def _projector(student: Tensor, teacher: Tensor) -> nn.Module:
    if student.ndim != teacher.ndim:
        raise ModelError("the two layers return tensors of different rank", where="distill.features",
                         got=f"{list(student.shape)} and {list(teacher.shape)}",
                         fix="pair layers that compute the same")  # fmt: skip
    if student.ndim == 4:
        same = student.shape[1] == teacher.shape[1]
        return nn.Identity() if same else nn.Conv2d(student.shape[1], teacher.shape[1], 1, bias=False)
    same = student.shape[-1] == teacher.shape[-1]
    return nn.Identity() if same else nn.Linear(student.shape[-1], teacher.shape[-1], bias=False)


def _near(name: str, names: list[str]) -> str | None:
    import difflib

    found = difflib.get_close_matches(name, names, 3)
    return f"did you mean {' or '.join(found)}?" if found else None
