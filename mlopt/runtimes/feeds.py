"""What is fed, held against a model's interface: for libraries that take anything and answer something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlopt.core.errors import ModelError
from mlopt.formats.model import TensorSpec
from mlopt.runtimes.base import Array, Feeds


def check_feeds(
    feeds: Feeds, inputs: Sequence[TensorSpec], where: str, bits: int = 64, rows: Mapping[str, int] = {}
) -> None:
    """Raise ``ModelError`` unless each input is fed with its type, its number of axes and its sizes.

    Sizes of one name are one size. Integers must fit in ``bits``, which are those that the library computes in;
    ``rows`` are those of the table that an input's values are indices of.
    """
    sizes: dict[str, int] = {}
    for spec in inputs:
        array = feeds.get(spec.name)
        fault = f"the feed lacks input '{spec.name}'" if array is None else _fault(array, spec, sizes, bits)
        if fault is None and array is not None and spec.name in rows:
            fault = _outside(array, spec, rows[spec.name])
        if fault is not None:
            raise _told(fault, feeds, inputs, where)
    if len(feeds) > len(inputs):
        known = {spec.name for spec in inputs}
        odd = next(name for name in feeds if name not in known)
        raise _told(f"the model has no input '{odd}' to be fed", feeds, inputs, where)


def _fault(array: Array, spec: TensorSpec, sizes: dict[str, int], bits: int) -> str | None:
    if array.dtype.name != spec.dtype:
        return f"input '{spec.name}' is fed with another type"
    if array.ndim != len(spec.shape):
        return f"input '{spec.name}' is fed with another number of axes"
    for size, wanted in zip(array.shape, spec.shape, strict=True):
        if isinstance(wanted, str):
            wanted = sizes.setdefault(wanted, size)  # noqa: PLW2901 - the size that the name stands for
        if size != wanted:
            return f"input '{spec.name}' is fed with sizes that do not go together"
    if array.dtype.kind in "iu" and not _fits(array, bits):
        return f"input '{spec.name}' holds integers beyond {bits} bits, which this runtime computes in"
    return None


def _outside(array: Array, spec: TensorSpec, rows: int) -> str | None:
    if not array.size or (array.max() < rows and array.min() >= -rows):
        return None
    return f"input '{spec.name}' is an index into {rows} rows, and reaches from {array.min()} to {array.max()}"


def _fits(array: Array, bits: int) -> bool:
    import numpy as np

    limits = np.iinfo(f"int{bits}")
    if not array.size or np.iinfo(array.dtype).max <= limits.max:
        return True
    return bool(array.max() <= limits.max and array.min() >= limits.min)


def _told(fault: str, feeds: Feeds, inputs: Sequence[TensorSpec], where: str) -> ModelError:
    got = ", ".join(f"{name}: {array.dtype}{list(array.shape)}" for name, array in feeds.items())
    return ModelError(fault, where=where, got=got or "no inputs", expected="; ".join(map(str, inputs)))
