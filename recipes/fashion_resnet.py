"""A ResNet-20 for Fashion-MNIST: 70,000 labelled pictures of clothes, of which 10,000 are held out as its authors do.

The four files (``train-images-idx3-ubyte.gz`` and so on) come with Debian's ``dataset-fashion-mnist``; elsewhere,
``FASHION_MNIST`` names the folder that they lie in.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

FOLDERS = ("/usr/share/datasets/fashion-mnist", "/usr/share/datasets/fashion_mnist", "~/fashion-mnist")
MEAN, STD = 0.2860, 0.3530  # of the pixels of the training pictures
WIDTHS, DEPTH = (16, 32, 64), 3
CALIBRATION = 512


class Block(nn.Module):
    """Two convolutions around a shortcut; ``stride`` 2 halves the picture."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first, self.first_norm = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.second, self.second_norm = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return features of shape [batch, outputs, height / stride, width / stride]."""
        y = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(self.second_norm(self.second(y)) + self.shortcut(x))


class ResNet(nn.Module):
    """Pictures [batch, 1, 28, 28] to logits [batch, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, WIDTHS[0], 3, 1, 1, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU())
        blocks, inputs = [], WIDTHS[0]
        for stage, width in enumerate(WIDTHS):
            for number in range(DEPTH):
                blocks.append(Block(inputs, width, stride=2 if stage and not number else 1))
                inputs = width
        self.blocks, self.head = nn.Sequential(*blocks), nn.Linear(inputs, 10)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits, shape [batch, 10]."""
        return self.head(self.blocks(self.stem(image)).mean(dim=(2, 3)))


def build() -> nn.Module:
    torch.manual_seed(0)
    return ResNet()


def train() -> tuple[dict[str, NDArray[np.float32]], NDArray[np.int64]]:
    images, labels = _training()
    return {"image": images}, labels


def calibration() -> tuple[dict[str, NDArray[np.float32]], NDArray[np.int64]]:
    images, labels = _training()
    return {"image": images[:CALIBRATION]}, labels[:CALIBRATION]


def evaluation() -> tuple[dict[str, NDArray[np.float32]], NDArray[np.int64]]:
    images, labels = _read("t10k")
    return {"image": images}, labels


def augmented(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a batch of which each picture is changed in its own way."""
    return {"image": moved(inputs["image"])}


def moved(images: Tensor) -> Tensor:
    """Mirror about half of the pictures, and move each by up to two pixels, its own way."""
    images = torch.where(torch.rand(len(images), 1, 1, 1) < 0.5, images.flip(-1), images)
    down, right = torch.randint(0, 5, (2, len(images)))
    windows = functional.pad(images, (2, 2, 2, 2), value=float(images.min())).unfold(2, 28, 1).unfold(3, 28, 1)
    return windows[torch.arange(len(images)), :, down, right]


@lru_cache(maxsize=1)
def _training() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the training pictures without those that occur among the ones held out."""
    images, labels = _read("train")
    held_out = {image.tobytes() for image in _read("t10k")[0]}
    kept = [row for row, image in enumerate(images) if image.tobytes() not in held_out]
    return images[kept], labels[kept]


@lru_cache(maxsize=2)
def _read(part: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    folder = _folder()
    with gzip.open(folder / f"{part}-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return ((pixels / 255 - MEAN) / STD).astype(np.float32), labels.astype(np.int64)


def _folder() -> Path:
    places = [Path(each).expanduser() for each in (os.environ.get("FASHION_MNIST"), *FOLDERS) if each]
    for folder in places:
        if (folder / "train-images-idx3-ubyte.gz").is_file():
            return folder
    raise FileNotFoundError(
        "Fashion-MNIST is not here: `apt install dataset-fashion-mnist`, or FASHION_MNIST=FOLDER with the four files"
    )
