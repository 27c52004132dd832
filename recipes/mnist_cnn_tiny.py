"""A quarter of the digit network, for 1,000 labelled digits and 2,500 whose labels nobody looks at."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from mnist_cnn import Block, calibration, evaluation, moved
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["augmented", "build", "evaluation", "train"]
LABELLED, NO_LABEL = 1000, -1


class TinyDigitNet(nn.Module):
    """Pictures [batch, 1, 28, 28] to logits [batch, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.blocks = nn.Sequential(Block(8, 8), Block(8, 16, stride=2), Block(16, 16))
        self.head = nn.Linear(16, 10)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits, shape [batch, 10]."""
        return self.head(self.blocks(self.stem(image)).mean(dim=(2, 3)))


def build() -> nn.Module:
    return TinyDigitNet()


def train() -> tuple[dict[str, NDArray[np.float32]], NDArray[np.int64]]:
    """Return all training digits, of which the first have their labels."""
    inputs, labels = calibration()
    return inputs, np.where(np.arange(len(labels)) < LABELLED, labels, NO_LABEL)


def augmented(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a batch of which each digit is moved its own way."""
    return {"image": moved(inputs["image"])}
