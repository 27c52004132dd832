"""What gradients say of the channels of a module: those of several batches, laid where importance looks for them.

This module imports torch: import it inside functions only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor

from mlopt.formats.torch.module import Flat

Gradients = Callable[[Flat], Iterator[None]]
"""Leaves the gradients of the loss of one batch after the other in the parameters, and lets look at them."""


@dataclass(frozen=True)
class GradientSums:
    """The gradients of all batches, by the names of parameters: their sums, and those of their squares.

    The library's own ``accumulate_grad`` keeps only the last batch.
    """

    sums: Mapping[str, Tensor]
    squares: Mapping[str, Tensor]
    batches: int

    @classmethod
    def of(cls, model: Flat, gradients: Gradients) -> Self:
        """Take them, and leave none in the model."""
        sums: dict[str, Tensor] = {}
        squares: dict[str, Tensor] = {}
        batches = 0
        for _ in gradients(model):
            batches += 1
            for name, parameter in model.named_parameters():
                if parameter.grad is not None:
                    grad = parameter.grad.detach()
                    sums[name] = sums[name] + grad if name in sums else grad.clone()
                    squares[name] = squares[name] + grad**2 if name in squares else grad**2
        model.zero_grad(set_to_none=True)
        return cls(sums, squares, batches)

    def lay(self, model: Flat, importance: Any) -> None:
        """Leave them in a model, or a copy of it, where the importance of its channels looks for them."""
        parameters = {name: each for name, each in model.named_parameters() if name in self.sums}
        for name, parameter in parameters.items():
            parameter.grad = self.sums[name].clone()
        if hasattr(importance, "accumulate_grad"):
            importance._accu_grad = {each: self.squares[name] for name, each in parameters.items()}
            importance._counter = dict.fromkeys(parameters.values(), self.batches)
