"""From samples to what a model is fed, and back to one output per sample.

A model's first axis is normally its batch: free (``[batch, 3, 224, 224]``) or fixed (``[1, 3, 224, 224]``). A model may
also have no batch axis (``[3, 224, 224]``, or a scalar); then a sample is a whole input, and it runs one at a time. The
data tells the two apart: its arrays have the rank of the model's inputs, or one axis more.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise, permutations
from typing import TYPE_CHECKING

import numpy as np

from mlopt.core.errors import DataError, Problem
from mlopt.core.voice import Count
from mlopt.data.dataset import Array, Dataset, Samples
from mlopt.data.fixed import value_problem
from mlopt.data.ragged import joined, ragged
from mlopt.formats.model import NOT_IN_NUMPY

if TYPE_CHECKING:
    from mlopt.formats.model import TensorSpec

Run = Callable[[dict[str, Array]], Mapping[str, Array]]
_FEW_AXES = 5
LABELS = frozenset({"label", "class", "classes", "target", "targets", "y", "y_true", "gt"})
"""What labels are called elsewhere."""
_KINDS = {"f": "a floating-point dtype", "i": "an integer dtype", "u": "an integer dtype", "b": "bool", "U": "text"}


def check_inputs(
    samples: Samples, specs: Sequence[TensorSpec], where: str = "data", defaults: Collection[str] = ()
) -> Samples:
    """Return ``samples`` in the model's dtypes, each conversion noted; raises ``DataError`` with all problems.

    Names must be the model's, dimensions must agree, and a value may change its width but never its meaning: float64
    becomes float32 unless it overflows, int64 becomes int32 if it is in range, and integers never become floats.
    ``defaults`` are inputs that the model has values for, and keeps.
    """
    problems = _name_problems(samples, specs, where, defaults)
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
        elif not problem and (problem := value_problem(converted, spec, place)) is None:
            inputs[spec.name] = converted
            if converted.dtype != array.dtype:
                notes.append(f"input '{spec.name}' was converted from {array.dtype} to {converted.dtype}")
        if problem:
            problems.append(problem)
    if problems:
        raise DataError.of(problems)
    return replace(samples, inputs=inputs, notes=(*samples.notes, *notes))


def check_names(samples: Samples, specs: Sequence[TensorSpec], where: str, defaults: Collection[str] = ()) -> None:
    """Raise ``DataError`` if the arrays are not called like the model's inputs, if these are declared."""
    problems = _name_problems(samples, specs, where, defaults) if specs else []
    if problems:
        raise DataError.of(problems)


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

    Where an output has no batch axis (a detector's boxes, a scalar), nobody could tell which sample of a batch a part
    of it belongs to: then every sample is run alone, and in a batch of fixed size beside copies of itself. An output
    whose shape differs from sample to sample is ragged (``data.ragged``).
    """
    size = batch_of(data, specs, batch_size)
    calls: list[tuple[Mapping[str, Array], int]] = []
    done, count = 0, Count("sample", len(data.inputs[specs[0].name]) if indices is None else len(indices))
    for feeds, real in batches(data, specs, batch_size, indices):
        outputs = _own(run(feeds))
        count(done := done + real)
        if size > 1 and not all(_batched(output, size) for output in outputs.values()):
            calls, size = _alone(run, data, specs, indices), batch_of(data, specs, 1)
            break
        calls.append((outputs, real))
    whole = bool(_whole(data, specs))
    return {name: _joined([(outputs[name], real) for outputs, real in calls], size, whole) for name in calls[0][0]}


def _alone(
    run: Run, data: Samples | Dataset, specs: Sequence[TensorSpec], indices: Sequence[int] | None
) -> list[tuple[Mapping[str, Array], int]]:
    rows = range(len(data.inputs[specs[0].name])) if indices is None else indices
    return [(_own(run(feeds)), 1) for row in rows for feeds, _ in batches(data, specs, 1, [row])]


def _own(outputs: Mapping[str, Array]) -> dict[str, Array]:
    """Keep what a model may write over in its next call, if it answers from a buffer of its own."""
    return {name: np.array(output) for name, output in outputs.items()}


def _batched(output: Array, size: int) -> bool:
    return output.shape[:1] == (size,)


def _joined(calls: Sequence[tuple[Array, int]], size: int, whole: bool) -> Array:
    """Join what the calls gave for their first samples; an output has a batch axis only if it always looks so."""
    if whole or not all(_batched(output, size) for output, _ in calls):
        return joined([output for output, _ in calls])
    if len({output.shape[1:] for output, _ in calls}) == 1:
        return np.concatenate([output[:real] for output, real in calls])
    return ragged([part for output, real in calls for part in output[:real]])


def _whole(data: Samples | Dataset, specs: Sequence[TensorSpec]) -> frozenset[str]:
    """The inputs of which each sample is a whole one."""
    return frozenset(spec.name for spec in specs if data.inputs[spec.name].ndim == len(spec.shape) + 1)


def _name_problems(
    samples: Samples, specs: Sequence[TensorSpec], where: str, defaults: Collection[str] = ()
) -> list[Problem]:
    inputs = {name: array for name, array in samples.inputs.items() if name not in defaults}
    expected = [spec.name for spec in specs]
    problems = [_default(name, where) for name in samples.inputs if name in defaults]
    missing = [name for name in expected if name not in inputs]
    for name in inputs:
        if name not in expected:
            close = missing if len(missing) == 1 else difflib.get_close_matches(name, missing or expected, n=1)
            fix = f"did you mean '{close[0]}'?" if close else "rename the array or leave it out"
            if not missing and samples.labels is None and name.lower() in LABELS:
                fix = f"if it holds the labels, call it 'labels', or say so in the recipe: `labels: {name}`"
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


def _default(name: str, where: str) -> Problem:
    """Say that an input's value is not for the data to give: passes take it for a constant."""
    return Problem(
        f"input '{name}' has a default in the model, and mlopt optimizes the model with that", where,
        f"an array '{name}'", "only arrays for inputs without a default",
        "leave the array out; if it must vary, export the model without that default (an initializer)",
    )  # fmt: skip


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
        fix=_reshaped(array.shape, spec) or "the first axis counts the samples; the others must be the model's",
    )


def _reshaped(shape: tuple[int, ...], spec: TensorSpec) -> str | None:
    """Return what may make the array one that fits: axes in another order, added or flattened ones; None if nothing."""
    inner, wanted = shape[1:], spec.shape[1:]

    def fits(sizes: tuple[int, ...]) -> bool:
        return len(sizes) == len(wanted) and all(
            isinstance(want, str) or want == size for want, size in zip(wanted, sizes, strict=True)
        )

    if fits(shape):
        return "if this is one sample, give x[numpy.newaxis]"
    if len(inner) == len(wanted) <= _FEW_AXES:
        orders = [order for order in permutations(range(len(inner))) if fits(tuple(inner[axis] for axis in order))]
        orders.sort(key=lambda order: sum(a > b for a, b in pairwise(order)))  # what stays together first
        if orders:
            axes = (0, *(axis + 1 for axis in orders[0]))
            return f"if only the axes are in another order, give numpy.transpose(x, {axes})"
    known = [size for size in wanted if isinstance(size, int)]
    if len(known) == len(wanted) and math.prod(known) == math.prod(inner):
        return f"if the values are in this order, give x.reshape({(-1, *known)})"
    one = [axis for axis, size in enumerate(wanted) if size == 1 and fits((*inner[:axis], 1, *inner[axis:]))]
    return f"give numpy.expand_dims(x, {one[0] + 1})" if one else None


def _convert(array: Array, spec: TensorSpec, where: str) -> Array | Problem:
    """Return ``array`` in the model's dtype, or the problem that stands in the way."""
    if problem := unfeedable(spec, where):
        return problem
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
            fix=f"repair or leave out this sample, or export the model with an input of {array.dtype}",
        )
    return array.astype(wanted)


def unfeedable(spec: TensorSpec, where: str) -> Problem | None:
    """Return why no array can be made for an input, or None."""
    if spec.dtype not in NOT_IN_NUMPY:
        return None
    return Problem(
        "NumPy has no such dtype, so the model cannot be fed", where, got=spec.dtype, expected="a NumPy dtype",
        fix="export the model with inputs in float32; inside, it may compute in any type",
    )  # fmt: skip


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
