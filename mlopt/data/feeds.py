"""From samples to what a model is fed, and back to one output per sample.

A model's first axis is normally its batch: free (``[batch, 3, 224, 224]``) or fixed (``[1, 3, 224, 224]``). A model may
also have no batch axis (``[3, 224, 224]``, or a scalar); then a sample is a whole input, and it runs one at a time. The
data tells the two apart: its arrays have the rank of the model's inputs, or one axis more.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mlopt.data.dataset import Array, Dataset, Samples
from mlopt.errors import DataError, Problem

if TYPE_CHECKING:
    from mlopt.model import TensorSpec

Run = Callable[[dict[str, Array]], Mapping[str, Array]]
_KINDS = {"f": "a floating-point dtype", "i": "an integer dtype", "u": "an integer dtype", "b": "bool", "U": "text"}


def check_inputs(samples: Samples, specs: Sequence[TensorSpec], where: str = "data") -> Samples:
    """Return ``samples`` in the model's dtypes, each conversion noted; raises ``DataError`` with all problems.

    Names must be the model's, dimensions must agree, and a value may change its width but never its meaning: float64
    becomes float32 unless it overflows, int64 becomes int32 if it is in range, and integers never become floats.
    """
    problems = _name_problems(samples.inputs, specs, where)
    inputs, notes = {}, []
    for spec in specs:
        if spec.name not in samples.inputs:
            continue
        array = samples.inputs[spec.name]
        place = f"{where}: input '{spec.name}'"
        problem = _shape_problem(array, spec, place)
        converted = array if problem else _convert(array, spec, place)
        if isinstance(converted, Problem):
            problem = converted
        elif not problem:
            inputs[spec.name] = converted
            if converted.dtype != array.dtype:
                notes.append(f"input '{spec.name}' was converted from {array.dtype} to {converted.dtype}")
        if problem:
            problems.append(problem)
    if problems:
        raise DataError.of(problems)
    return replace(samples, inputs=inputs, notes=(*samples.notes, *notes))


def batches(
    data: Samples | Dataset, specs: Sequence[TensorSpec], batch_size: int, indices: Sequence[int] | None = None
) -> Iterator[tuple[dict[str, Array], int]]:
    """Yield ``(feeds, real)`` over all samples, or those of ``indices``, in order.

    Every feed is a full batch, so that all inferences cost the same: the last one repeats its last sample, and only the
    first ``real`` are to be counted. A fixed first dimension of the model overrides ``batch_size``; a model without a
    batch axis gets one sample at a time. ``data`` must have passed ``check_inputs``.
    """
    size = batch_of(data, specs, batch_size)
    whole = _whole(data, specs)
    chosen = np.arange(len(data.inputs[specs[0].name])) if indices is None else np.asarray(indices, dtype=np.intp)
    for start in range(0, len(chosen), size):
        part = chosen[start : start + size]
        rows = np.concatenate([part, np.repeat(part[-1:], size - len(part))])
        yield {s.name: np.asarray(data.inputs[s.name][rows[0] if s.name in whole else rows]) for s in specs}, len(part)


def batch_of(data: Samples | Dataset, specs: Sequence[TensorSpec], batch_size: int) -> int:
    """Return how many samples one inference takes; raises ``DataError`` if the inputs disagree about it."""
    whole = _whole(data, specs)
    fixed = {spec.name: 1 if spec.name in whole else spec.shape[0] for spec in specs}
    sizes = {size for size in fixed.values() if isinstance(size, int)}
    if len(sizes) > 1:
        raise DataError(
            "the model's inputs take different numbers of samples",
            where="data",
            got=", ".join(str(spec) for spec in specs),
            expected="one batch size",
            fix="give every array one axis more than the model's input has: each sample is then a whole input",
        )
    if sizes == {0}:
        raise DataError("the model takes no samples: its batch is fixed at 0", where="data",
                        got="; ".join(map(str, specs)), fix="export it with a free batch, or one of 1")  # fmt: skip
    return sizes.pop() if sizes else batch_size


def predict(
    run: Run,
    data: Samples | Dataset,
    specs: Sequence[TensorSpec],
    batch_size: int,
    indices: Sequence[int] | None = None,
) -> dict[str, Array]:
    """Run the model over the samples and return its outputs, first axis = samples.

    An output without a batch axis counts as one per sample where one sample is run at a time; otherwise, and where an
    output's shape differs from sample to sample, ``DataError`` is raised.
    """
    size, whole = batch_of(data, specs, batch_size), _whole(data, specs)
    parts: dict[str, list[Array]] = {}
    for feeds, real in batches(data, specs, batch_size, indices):
        for name, output in run(feeds).items():
            batched = not whole and output.shape[:1] == (size,)
            if not batched and size > 1:
                raise DataError(
                    "the output has no batch axis",
                    where=f"output '{name}'",
                    got=f"shape {list(output.shape)} for {size} samples",
                    expected=f"[{size}, ...]",
                    fix="run one sample at a time: target.batch_size: 1",
                )
            parts.setdefault(name, []).append(output[:real] if batched else output[np.newaxis])
    return {name: _joined(name, outputs) for name, outputs in parts.items()}


def _joined(name: str, outputs: list[Array]) -> Array:
    shapes = sorted({output.shape[1:] for output in outputs})
    if len(shapes) > 1:
        raise DataError(
            "the output's shape differs from sample to sample, so outputs cannot be compared as one array",
            where=f"output '{name}'",
            got=" and ".join(str(list(shape)) for shape in shapes[:2]),
            expected="one shape",
            fix="pad the inputs to one length",
        )
    return np.concatenate(outputs)


def _whole(data: Samples | Dataset, specs: Sequence[TensorSpec]) -> frozenset[str]:
    """The inputs of which each sample is a whole one."""
    return frozenset(spec.name for spec in specs if data.inputs[spec.name].ndim == len(spec.shape) + 1)


def _name_problems(inputs: Mapping[str, Array], specs: Sequence[TensorSpec], where: str) -> list[Problem]:
    expected = [spec.name for spec in specs]
    problems = []
    missing = [name for name in expected if name not in inputs]
    for name in inputs:
        if name not in expected:
            close = missing if len(missing) == 1 else difflib.get_close_matches(name, missing or expected, n=1)
            fix = f"did you mean '{close[0]}'?" if close else "rename the array or leave it out"
            problems.append(Problem(f"the model has no input '{name}'", where, name, ", ".join(expected), fix))
            missing = [other for other in missing if other not in close]
    by_name = {spec.name: spec for spec in specs}
    problems += [
        Problem(
            f"the data has no array for input '{name}'", where, ", ".join(inputs) or "no arrays", name,
            f"add an array named '{name}' of {by_name[name].dtype}, with the shape {_of_samples(by_name[name])}",
        )
        for name in missing
    ]  # fmt: skip
    return problems


def _of_samples(spec: TensorSpec) -> str:
    """Return the shape of an array of samples for one input, as text."""
    return f"[{', '.join(map(str, ('samples', *spec.shape[1:])))}]"


def _shape_problem(array: Array, spec: TensorSpec, where: str) -> Problem | None:
    rank = len(spec.shape)
    wanted = spec.shape if array.ndim == rank + 1 else spec.shape[1:]
    fits = array.ndim in {max(rank, 1), rank + 1} and all(
        isinstance(want, str) or want == got for want, got in zip(wanted, array.shape[1:], strict=True)
    )
    if fits:
        return None
    return Problem(
        "the shape does not fit the model",
        where,
        got=f"[{', '.join(map(str, array.shape))}]",
        expected=_of_samples(spec),
        fix="the first axis counts the samples; the others must be the model's",
    )


def _convert(array: Array, spec: TensorSpec, where: str) -> Array | Problem:
    """Return ``array`` in the model's dtype, or the problem that stands in the way."""
    if spec.dtype == "string":
        text = _as_text(array)
        return _dtype_problem(array, spec, where) if text is None else text
    wanted = np.dtype(spec.dtype) if spec.dtype in np.sctypeDict else None
    if wanted is None or wanted.kind not in "fiub" or _KINDS[wanted.kind] != _KINDS.get(array.dtype.kind):
        return _dtype_problem(array, spec, where)
    if array.dtype == wanted:
        return array
    limits = np.finfo(wanted) if wanted.kind == "f" else np.iinfo(wanted)
    outside = (array < limits.min) | (array > limits.max)
    if outside.any():
        first = np.argwhere(outside)[0]
        return Problem(
            f"a value does not fit into {wanted}",
            where,
            got=f"{array[tuple(first)]} in sample {first[0]}",
            expected=f"{limits.min} to {limits.max}",
        )
    return array.astype(wanted)


def _as_text(array: Array) -> Array | None:
    """Return text as NumPy's own; None if it is something else."""
    if array.dtype.kind == "S":
        try:
            return np.char.decode(array, "utf-8")
        except UnicodeDecodeError:
            return None
    is_text = array.dtype.kind in "UT" or (array.dtype.kind == "O" and all(isinstance(x, str) for x in array.flat))
    return array.astype(str) if is_text and array.dtype.kind != "U" else array if is_text else None


def _dtype_problem(array: Array, spec: TensorSpec, where: str) -> Problem:
    kind = array.dtype.kind
    scaled = " and scale the values as the model was trained" if kind in "iu" and spec.dtype.startswith("float") else ""
    fix = f"convert the array with .astype(numpy.{spec.dtype}){scaled}" if spec.dtype in np.sctypeDict else None
    fix = "give text: numpy.array([...], dtype=str)" if spec.dtype == "string" else fix
    return Problem("the dtype does not fit the model", where, got=str(array.dtype), expected=spec.dtype, fix=fix)
