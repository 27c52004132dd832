"""A training that takes a moment: two clouds of points, a net with dropout and a batch norm, and what trains it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mlopt.compress.train.loop import Augment, Hooks, train
from mlopt.compress.train.objectives import Classification, TrainingObjective
from mlopt.compress.train.progress import Trained
from mlopt.compress.train.settings import Training
from mlopt.data.dataset import Samples, store
from mlopt.data.loader import Loader, loader
from mlopt.formats.model import TensorSpec
from mlopt.formats.torch.module import Flat

SPEC = TensorSpec("x", "float32", ("batch", 6))


def clouds(folder: Path, count: int = 96, seed: int = 0, **more: Any) -> Loader:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, count)
    points = (random.normal(size=(count, 6)) + 1.5 * labels[:, None]).astype(np.float32)
    data = store(Samples({"x": points}, labels), folder / f"clouds-{count}-{seed}", "made")
    return loader(data, [SPEC], **{"batch_size": 16, "held_out": 0.25, "seed": 0, **more})


def net(seed: int = 0) -> Flat:
    torch.manual_seed(seed)
    layers = (nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 2))
    return Flat(nn.Sequential(*layers), 1, ()).eval()


def settings(**more: Any) -> Training:
    return Training(**{"epochs": 3, "batch_size": 16, "learning_rate": 1e-2, "threads": 1, **more})


def weights(model: Flat) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in model.state_dict().items()}


def trained(
    folder: Path, *, objective: TrainingObjective | None = None, model: Flat | None = None, saved: Path | None = None,
    after: Callable[[], None] = lambda: None, augment: Augment | None = None, **more: Any,
) -> tuple[Flat, Trained]:  # fmt: skip
    one = model or net()
    hooks = Hooks(augment=augment, after=after)
    data = clouds(folder, held_out=more.get("held_out", 0.25))
    return one, train(one, objective or Classification(), data, settings(**more), saved=saved, hooks=hooks)
