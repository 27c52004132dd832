"""Data sets as mlopt keeps them: read once, checked, and stored as plain ``.npy`` files that a digest stands for.

A stored data set is a directory::

    dataset.json            source, count, digest, notes, the inputs' names, dtypes and shapes, one digest per sample
    input_0.npy ...         one file per input, first axis = samples; numbered, since an input's name may hold a '/'
    labels.npy              only if there are labels

Digests per sample let calibration and evaluation be compared without reading either again.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlopt.core.errors import DataError
from mlopt.data.ragged import is_ragged, mapped
from mlopt.data.unequal import as_array

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

Array = NDArray[Any]
_INDEX = "dataset.json"
_LABELS = "labels.npy"


@dataclass(frozen=True)
class Samples:
    """Samples in memory, as a source gives them: arrays by input name, first axis = samples."""

    inputs: Mapping[str, Array]
    labels: Array | None = None
    notes: tuple[str, ...] = ()
    """What a reader of the results should know: what was left out or changed on the way in."""


@dataclass(frozen=True)
class Dataset:
    """Samples on disk, immutable.

    ``digest`` is the SHA-256 over names, dtypes, shapes and values of inputs and labels, in order; ``source`` is text
    for people. Arrays are memory-mapped: what is not looked at is not read.
    """

    path: Path
    digest: str
    count: int
    source: str

    @cached_property
    def inputs(self) -> dict[str, Array]:
        """The inputs by name, read-only; each of shape [samples, ...]."""
        names = [entry["name"] for entry in _index(self.path)["inputs"]]
        return {name: mapped(self.path / _file(number)) for number, name in enumerate(names)}

    @property
    def one_size(self) -> bool:
        """Whether all samples have the same sizes."""
        return not any(is_ragged(array) for array in self.inputs.values())

    @cached_property
    def labels(self) -> Array | None:
        """The labels, first axis = samples, or None."""
        file = self.path / _LABELS
        return mapped(file) if file.exists() else None

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What was left out or changed when the samples were read."""
        return tuple(_index(self.path)["notes"])

    @cached_property
    def not_finite(self) -> tuple[int, ...]:
        """The samples of which an input holds NaN or infinity: a mask may, and a fault in the data looks the same."""
        return tuple(_index(self.path)["not_finite"])

    @cached_property
    def sample_digests(self) -> tuple[str, ...]:
        """One digest per sample, over its inputs and not its label: equal inputs have equal digests."""
        return tuple(_index(self.path)["samples"])


def store(samples: Samples, out: Path, source: str) -> Dataset:
    """Check ``samples`` and write them into the directory ``out``, which may exist.

    Raises ``DataError`` for anything that would poison a measurement: no samples, inputs of different lengths, labels
    that are NaN or infinite, arrays of Python objects. Inputs that are not finite are told by ``not_finite``: whether
    they are meant, the model's outputs say. The caller makes the write atomic.
    """
    count = _checked_count(samples, source)
    out.mkdir(parents=True, exist_ok=True)
    inputs = {name: np.ascontiguousarray(array) for name, array in samples.inputs.items()}
    for number, array in enumerate(inputs.values()):
        np.save(out / _file(number), array, allow_pickle=False)
    if samples.labels is not None:
        np.save(out / _LABELS, samples.labels, allow_pickle=False)
    digest, of_each = _digest(inputs, samples.labels), sample_digests(inputs, count)
    index = {
        "source": source,
        "count": count,
        "digest": digest,
        "notes": [*samples.notes, *_at_odds(of_each, samples.labels)],
        "not_finite": _not_finite(inputs, count),
        "inputs": [{"name": n, "dtype": a.dtype.name, "shape": list(a.shape)} for n, a in inputs.items()],
        "samples": of_each,
    }
    (out / _INDEX).write_text(json.dumps(index), encoding="utf-8")
    return Dataset(out, digest, count, source)


def part(data: Dataset, rows: Array, folder: Path) -> Dataset:
    """Store some of the samples, by their numbers, as a data set of its own."""
    labels = None if data.labels is None else np.asarray(data.labels[rows])
    inputs = {name: np.asarray(array[rows]) for name, array in data.inputs.items()}
    return store(Samples(inputs, labels), folder, f"{len(rows)} of {data.source}")


def open_dataset(path: Path) -> Dataset:
    """Open what ``store`` wrote; raises ``DataError`` if ``path`` is not a whole data set."""
    index = _index(path)
    files = [_file(number) for number in range(len(index["inputs"]))]
    for file in files:
        if not (path / file).is_file():
            raise DataError("a file of the stored data set is missing", where=str(path), got=file, fix=_RESTORE)
    return Dataset(path, index["digest"], index["count"], index["source"])


def count_of(samples: Samples, where: str) -> int:
    """Return how many samples there are; raises ``DataError`` if inputs and labels disagree about it."""
    if not samples.inputs:
        raise DataError("the source gives no inputs", where=where, expected="one array for each input of the model")
    arrays = {f"input '{name}'": array for name, array in samples.inputs.items()}
    if samples.labels is not None:
        arrays["labels"] = samples.labels
    scalar = next((name for name, array in arrays.items() if array.ndim == 0), None)
    if scalar is not None:
        raise DataError(f"{scalar} is a single number", where=where, expected="arrays whose first axis is samples",
                        fix="give an array of all samples, of a single one numpy.array([x])")  # fmt: skip
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) > 1:
        raise DataError(
            "the arrays hold different numbers of samples",
            where=where,
            got=", ".join(f"{name}: {count}" for name, count in counts.items()),
            expected="the same length of the first axis everywhere",
            fix="give one entry for each sample everywhere; numpy.moveaxis(x, AXIS, 0) puts their axis first",
        )
    return next(iter(counts.values()))


def shared_samples(a: Dataset, b: Dataset) -> int:
    """Count the different samples that occur, bit for bit, in both data sets; labels play no part."""
    return len(set(a.sample_digests) & set(b.sample_digests))


def check_disjoint(fitted: Dataset, evaluation: Dataset, role: str = "calibration") -> None:
    """Raise ``DataError`` if a model would be judged on samples that it was fitted to, as ``role`` says.

    Training and calibration may share samples: neither judges, and calibrating on some of what was trained on is usual.
    """
    shared = shared_samples(fitted, evaluation)
    if shared:
        raise DataError(
            f"{'training' if role == 'train' else role} and evaluation share samples, so the evaluation would flatter "
            "the model",
            where="data",
            got=f"{shared} shared: {fitted.count} samples of {fitted.source}, "
            f"{evaluation.count} of {evaluation.source}",
            expected="no sample in both",
            fix="use different files, or one source with `split: [0.0, 0.5]` and `split: [0.5, 1.0]`; "
            "duplicates must be removed from one of them",
        )


_RESTORE = "delete this directory and run again: it is made once more"


def _file(number: int) -> str:
    return f"input_{number}.npy"


def _index(path: Path) -> dict[str, Any]:
    file = path / _INDEX
    try:
        index: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError("this is not a stored data set", where=str(path), expected=_INDEX, fix=_RESTORE) from error
    except ValueError as error:
        raise DataError("the stored data set is damaged", where=str(file), got=str(error), fix=_RESTORE) from error
    return index


def _checked_count(samples: Samples, source: str) -> int:
    """Return the number of samples; raises ``DataError`` for the first thing that is wrong with them."""
    for name, array in samples.inputs.items():
        _check_array(array, f"{source}: input '{name}'")
    count = count_of(samples, source)
    if not any(array.size for array in samples.inputs.values()):  # one that is empty, such as a cache, may be meant
        shapes = ", ".join(f"{name}: {list(array.shape)}" for name, array in samples.inputs.items())
        raise DataError("the samples hold no values", where=source, got=shapes, expected="[samples, ...]")
    if samples.labels is not None:
        _check_array(samples.labels, f"{source}: labels")
        bad = _not_finite({"": samples.labels}, count)
        if bad:
            raise DataError(
                "the labels hold NaN or infinity", where=source,
                got=f"{len(bad)} of {count} labels, the first is that of sample {bad[0]}",
                expected="finite numbers", fix="repair or leave out these samples",
            )  # fmt: skip
    return count


def _check_array(array: Array, where: str) -> None:
    if array.dtype == object:
        as_array(array, where)
    if array.dtype.kind not in "fiubU":
        raise DataError(
            "the array holds values that mlopt cannot use",
            where=where,
            got=f"dtype {array.dtype}",
            expected="numbers, booleans or text",
            fix="give the real and the imaginary part: numpy.stack([x.real, x.imag], axis=-1)"
            if array.dtype.kind == "c"
            else "convert it, for instance with .astype(numpy.float32), or text with .astype(str)",
        )
    if array.ndim and not len(array):
        shape = list(array.shape)
        raise DataError("the array is empty", where=where, got=f"shape {shape}", expected="[samples, ...]")


def _at_odds(digests: Sequence[str], labels: Array | None) -> Iterator[str]:
    """Yield a note on equal samples with different labels: of each such pair, any model gets one wrong."""
    if labels is None:
        return
    first: dict[str, int] = {}
    odd = [row for row, key in enumerate(digests) if np.any(labels[first.setdefault(key, row)] != labels[row])]
    if odd:
        earlier = first[digests[odd[0]]]
        many = "1 sample has" if len(odd) == 1 else f"{len(odd)} samples have"
        yield f"{many} another label than an equal one before: samples {earlier} and {odd[0]} are the first such pair"


def _not_finite(inputs: Mapping[str, Array], count: int) -> list[int]:
    bad = np.zeros(count, dtype=bool)
    for array in inputs.values():
        if array.dtype.kind == "f" and array.size:
            bad |= ~np.isfinite(array).reshape(count, -1).all(axis=1)
    return [int(sample) for sample in np.flatnonzero(bad)]


def _digest(inputs: Mapping[str, Array], labels: Array | None) -> str:
    digest = hashlib.sha256()
    arrays = [*inputs.items()] if labels is None else [*inputs.items(), ("\0labels", np.ascontiguousarray(labels))]
    for name, array in arrays:
        digest.update(f"{json.dumps(name)} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data.cast("B") if array.dtype.kind != "U" and array.size else array.tobytes())
    return digest.hexdigest()


def sample_digests(inputs: Mapping[str, Array], count: int) -> list[str]:
    """Return one digest per sample; equal inputs have equal digests."""
    heads = {name: f"{json.dumps(name)} {inputs[name].dtype.str} {inputs[name].shape[1:]}\n" for name in sorted(inputs)}
    digests = []
    for number in range(count):
        digest = hashlib.blake2b(digest_size=16)
        for name, head in heads.items():
            digest.update(head.encode())
            digest.update(inputs[name][number].tobytes())
        digests.append(digest.hexdigest())
    return digests
