"""Modules that become TorchScript files, by scripting or by tracing: with control flow, several outputs, or a bomb."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch
from torch import Tensor, nn


class Convolutional(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))

    def forward(self, image: Tensor) -> Tensor:
        return self.net(image)


class BranchOnSize(nn.Module):  # type: ignore[misc]
    def forward(self, x: Tensor) -> Tensor:
        if x.shape[0] > 3:
            return x * 2
        return x - 1


class BranchOnValue(nn.Module):  # type: ignore[misc]
    def forward(self, x: Tensor) -> Tensor:
        if bool(x.sum() > 0):
            return x
        return x - 1


class Loop(nn.Module):  # type: ignore[misc]
    def forward(self, x: Tensor) -> Tensor:
        y = x
        for i in range(x.size(0)):
            if x.size(0) > 2 * i:
                y = y + float(i)
        return y


class LoopOnValue(nn.Module):  # type: ignore[misc]
    def forward(self, x: Tensor) -> Tensor:
        y = x
        while bool(y.abs().sum() < 100):
            y = y * 2 + 1
        return y


class Several(nn.Module):  # type: ignore[misc]
    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        return x + 1, (x.sum(1), x * 3)


class Masked(nn.Module):  # type: ignore[misc]
    def forward(self, x: Tensor, mask: Optional[Tensor] = None, times: int = 3) -> Tensor:  # noqa: UP045
        if mask is not None:
            return x * mask * times
        return x * times


class OneBatch(nn.Module):  # type: ignore[misc]
    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(2, 4)


class Unsteady(nn.Module):  # type: ignore[misc]
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand(1)


class Counting(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("n", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.n += 1
        return x + self.n


class Recurrent(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.LSTM(2, 3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.reshape(x.shape[0], 2, 2))[0]


class Dropping(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Number(nn.Module):  # type: ignore[misc]
    def forward(self, x: Tensor, times: int) -> Tensor:
        return x * times


class WritesWhenLoaded(nn.Module):  # type: ignore[misc]
    """Makes the file ``ran`` in the working directory as soon as it is loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = torch.zeros(1)

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, bool]:
        return self.kept, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, bool]) -> None:
        self.kept = torch.from_file("ran", True, 4)
        self.training = state[1]

    def forward(self, x: Tensor) -> Tensor:
        return x + 1


def save(module: Any, path: Path, traced_with: tuple[Tensor, ...] | None = None) -> Path:
    """Write a module scripted, or traced with examples."""
    with warnings.catch_warnings(action="ignore"):  # PyTorch calls TorchScript old
        made = torch.jit.script(module) if traced_with is None else torch.jit.trace(module, traced_with)
        made.save(str(path))
    return path


def answers(path: Path, *arrays: np.ndarray[Any, Any]) -> Any:
    """Return what a file's own module gives, freshly loaded."""
    with warnings.catch_warnings(action="ignore"):
        return torch.jit.load(str(path)).eval()(*map(torch.from_numpy, arrays))
