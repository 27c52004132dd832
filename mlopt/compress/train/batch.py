"""One batch, as tensors on the device. This module imports torch: import it inside functions only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Batch:
    """Some samples."""

    inputs: Mapping[str, torch.Tensor]
    """By name, in the order of the model's inputs, each [samples, ...]."""
    labels: torch.Tensor | None
    """[samples, ...]."""

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """The inputs, in order."""
        return tuple(self.inputs.values())

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))
