"""Small networks that are rounded, traced in evaluation: with batch norms that are not the usual ones."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import torch
from torch import nn

from mlopt.compress.qat.fake_quantized import FakeQuantized
from mlopt.compress.qat.settings import FakeQuantization
from mlopt.compress.quantization.torch_static import trace
from mlopt.formats.model import TensorSpec
from mlopt.formats.torch.module import Flat


class Net(nn.Module):  # type: ignore[misc]  # torch is not followed by mypy here
    """Convolutions with a sum between, and batch norms after layers of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8, eps=0.1, momentum=0.3)
        self.biased, self.again = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.same, self.after = nn.Conv2d(8, 8, 3, padding="same"), nn.BatchNorm2d(8)
        self.drop, self.wide, self.last = nn.Dropout(0.3), nn.Linear(8, 16), nn.BatchNorm1d(16)
        self.head = nn.Linear(16, 4)
        for norm in (self.norm, self.again, self.after, self.last):
            norm.running_var.uniform_(0.5, 2)
            norm.running_mean.normal_()
            norm.weight.data.uniform_(-1, 1)[0] = 0

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return [batch, 4] for [batch, 3, 8, 8]."""
        x = torch.relu(self.norm(self.first(image)))
        x = torch.relu(x + self.again(self.biased(x)))
        x = nn.functional.max_pool2d(nn.functional.relu6(self.after(self.same(x))), 2)
        return self.head(torch.relu(self.last(self.wide(self.drop(x.mean((2, 3)))))))


def net() -> nn.Module:
    torch.manual_seed(0)
    return Net().eval()


def images(count: int = 8, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def traced(module: nn.Module, example: torch.Tensor) -> Any:
    """Return the graph of a module that takes [batch, ...]; it shares the module's weights, and returns a tuple."""
    spec = TensorSpec("image", "float32", ("batch", *example.shape[1:]))
    return trace(Flat(module, 1, ()), [spec], (example,))


def prepared(**settings: Any) -> FakeQuantized:
    """Return the network, calibrated on a few images."""
    return copy.deepcopy(_prepared(FakeQuantization(**settings)))


@cache
def _prepared(settings: FakeQuantization) -> FakeQuantized:
    made = FakeQuantized(traced(net(), images()), settings)
    made.calibrate([(images(),)])
    return made
