"""What every peer script reads: samples as whole inputs, so that no tool has to know what a model's batch axis is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def read(path: str | Path) -> list[dict[str, Any]]:
    """Return one feed for each sample of an .npz whose arrays are [samples, *the input's whole shape]."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    count = len(next(iter(arrays.values())))
    return [{name: np.asarray(array[number]) for name, array in arrays.items()} for number in range(count)]
