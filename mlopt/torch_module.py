"""The form in which every PyTorch model runs and is exported: tensors in by position, a tuple of tensors out.

Eager reference and exporter then see one and the same function, whatever the model takes and returns. This module
imports torch: import it inside functions only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from mlopt.errors import ModelError


class Flat(torch.nn.Module):  # type: ignore[misc]  # torch is not followed by mypy here
    """Calls ``model`` with the first ``positional`` tensors by position and the others by ``keywords``, in order."""

    def __init__(self, model: torch.nn.Module, positional: int, keywords: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.positional = positional
        self.keywords = tuple(keywords)
        self.training = False

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Take the tensors in the order of the declared inputs; return all outputs in order."""
        keyed = dict(zip(self.keywords, tensors[self.positional :], strict=True))
        return tuple(flatten(self.model(*tensors[: self.positional], **keyed)))


def flatten(value: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors of a tensor, tuple, list, mapping or dataclass, nested or not, in order; None yields none."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from flatten(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from flatten(item)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from flatten(getattr(value, field.name))
    elif value is not None:
        raise ModelError(
            "forward() returns something that is not a tensor", got=type(value).__name__,
            expected="a tensor, or a tuple, list, mapping or dataclass of tensors",
        )  # fmt: skip
