"""What it takes to go on with a training as if nothing had happened, in one file that is whole or as it was before.

That is all tensors that change (weights, optimizer, averages, the best so far), where the training stands, and the
state of every random generator. It is read by PyTorch's restricted reader, which runs nothing. This module imports
torch: import it inside functions only.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import random
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlopt.core.errors import OutputError

State = Mapping[str, Any]
_PARTIAL = ".part"


def write(path: Path, state: State) -> None:
    """Write a checkpoint in place of the one before; raises ``OutputError`` and leaves that where there is no room."""
    partial = path.with_name(path.name + _PARTIAL)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as stream:
            torch.save(dict(state), stream)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except (OSError, RuntimeError) as error:  # torch tells of a full disk by a RuntimeError
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise OutputError(
            "the checkpoint could not be written, and the one before it is still there", where=str(path),
            got=" ".join(str(error).split())[:200],
            fix="free some space, or put the cache elsewhere with MLOPT_CACHE=DIR; run again to go on from there",
        ) from error  # fmt: skip


def read(path: Path) -> State | None:
    """Return a checkpoint; None if there is none that is whole."""
    try:
        with warnings.catch_warnings(action="ignore"):  # about the bytes of a file that is none of ours
            state: State = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        return None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError):
        return None  # a training from the start is no loss that a damaged file could be blamed for twice
    return state


def generators() -> State:
    """Return the state of all random generators, in types that the restricted reader takes."""
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [name, torch.from_numpy(np.asarray(keys).astype(np.int64)), *(float(each) for each in rest)],
        "python": list(_flat(random.getstate())),
    }


def restore_generators(state: State) -> None:
    """Put back what ``generators`` gave."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
    name, keys, place, has_gauss, gauss = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), int(place), int(has_gauss), gauss))
    version, gaussian, *words = state["python"]
    random.setstate((version, tuple(words), gaussian))


def _flat(state: tuple[Any, ...]) -> tuple[Any, ...]:
    version, words, gaussian = state
    return (version, gaussian, *words)
