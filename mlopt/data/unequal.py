"""Values that NumPy makes no array of numbers or text of: samples of several sizes above all.

Samples are stored as one array for each input, so what differs in size has to be padded. How, the model has to know:
what it is padded with, and what hides that from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlopt.core.errors import DataError

Array = NDArray[Any]
PAD = (
    "m = numpy.max([numpy.shape(p) for p in x], axis=0); "
    "x = numpy.stack([numpy.pad(p, [(0, k - n) for k, n in zip(m, numpy.shape(p))]) for p in x])"
)
"""Python that pads the samples in ``x`` with 0 to the largest."""
_HOW = f"{PAD} pads with 0; give a model that has a mask one with 0 there, or keep samples of one size only"
_EXPECTED = "one array for all samples, [samples, ...]"
_SHOWN = 3


def as_array(value: Any, where: str) -> Array:
    """Return an array of numbers or text; raises ``DataError`` that says how to make one of this."""
    try:
        array = np.asarray(value)
    except ValueError as error:  # rows of different lengths
        raise _refused(value, where, f"{type(error).__name__}: {error}") from error
    except Exception as error:  # what a tensor of another library, such as one on a GPU, raises
        raise DataError(
            "NumPy makes no array of this", where=where, got=f"{type(value).__name__}: {error}"[:300],
            expected=_EXPECTED, fix="of a PyTorch tensor, give x.detach().cpu().numpy()",
        ) from error  # fmt: skip
    if array.dtype != object:
        return array
    if array.size and all(isinstance(part, str) for part in array.flat):
        return array.astype(str)
    raise _refused(array, where, "dtype object")


def _refused(values: Iterable[Any], where: str, got: str) -> DataError:
    """Say whether it is the sizes that stand in the way, or the values."""
    shapes = [_shape(part) for part in values]
    known = [shape for shape in shapes if shape is not None]
    if len(known) == len(shapes) and len(set(known)) > 1:
        said = ", ".join(str(list(shape)) for shape in dict.fromkeys(known[:_SHOWN]))
        same_rank = len({len(shape) for shape in known}) == 1
        return DataError(
            "the samples differ in size", where=where, got=f"{len(set(known))} shapes, such as {said}",
            expected=_EXPECTED, fix=_HOW if same_rank else "give every sample as many axes as the others, and one size",
        )  # fmt: skip
    return DataError(
        "these are no numbers and no text", where=where, got=got[:300], expected=_EXPECTED,
        fix="numpy.stack(x) makes one array of a list of arrays, numpy.array(x, dtype=numpy.float32) one of numbers; "
        "take out None and other objects",
    )  # fmt: skip


def _shape(part: Any) -> tuple[int, ...] | None:
    """Return the shape of one sample; None if it is no array of numbers or text either."""
    try:
        array = np.asarray(part)
    except Exception:  # noqa: BLE001 - what a tensor of another library raises
        return None
    return None if array.dtype == object else array.shape
