"""From samples on disk to a batch on the device. This module imports torch: import it inside functions only."""

from __future__ import annotations

import numpy as np
import torch

from mlopt.compress.train.batch import Batch
from mlopt.core.errors import DataError
from mlopt.data.choice import Rows
from mlopt.data.loader import Loader


def batch_of(loader: Loader, rows: Rows, device: torch.device) -> Batch:
    """Return the samples of ``rows``; raises ``DataError`` for text, which no tensor holds."""
    feed, labels = loader.feed(rows), loader.labels(rows)
    for name, array in {**feed, "labels": labels}.items():
        if array is not None and array.dtype.kind == "U":
            raise DataError("text cannot be trained on", where=f"{loader.data.source}: '{name}'",
                            expected="numbers", fix="number the classes, or tokenize the text")  # fmt: skip
    return Batch(
        {name: _tensor(array, device) for name, array in feed.items()},
        None if labels is None else _tensor(labels, device),
    )


def _tensor(array: np.ndarray, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.array(array)).to(device)
