"""Samples for a model that comes without any: enough to time it, never to judge its accuracy.

Which sizes and values a model takes, only running it tells. So they are tried until it does.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mlopt.core.errors import ModelError, Problem
from mlopt.data.dataset import Array, Samples
from mlopt.data.feeds import Run, batches
from mlopt.data.sizes import Attempt, attempts, size_of

if TYPE_CHECKING:
    from mlopt.formats.model import TensorSpec
from mlopt.runtimes.onnxruntime_messages import blames_values, could_not_run

SYNTHETIC = "synthetic"
"""The source of samples that were made up."""
_REAL = "give real ones: --data FILE.npz, or `data.evaluation` in a recipe"
_SAMPLES = 16
_BYTES = 1 << 29
"""Of all samples, at 8 bytes a value, which is what a random number takes."""
_SECONDS = 60.0
"""After that no other sizes are tried."""
_MASK, _POSITION = re.compile("mask", re.IGNORECASE), re.compile(r"(^|_)pos(ition)?(_?ids?|s)?($|_)", re.IGNORECASE)
_LENGTH = re.compile(r"(^|_)(seq)?len(gth)?s?($|_)|lengths?$", re.IGNORECASE)
_RATE = re.compile(r"(^|_)(sr|(sample|sampling)_?rate)($|_)", re.IGNORECASE)
_NO_SIZE = re.compile(
    r"\b(Type|Attribute|Import|ModuleNotFound|Name|Key|NotImplemented|OS|FileNotFound|UnboundLocal|Permission)Error\b"
    r"|\bdtype|scalar type|\bdevice|not implemented"
)
"""In what was raised: other sizes would not have helped."""
_WORDS = ("a", "b")


def fit(specs: Sequence[TensorSpec], run: Run, batch_size: int, words: Mapping[str, Sequence[str]]) -> Samples:
    """Return samples that ``run`` takes, of the first sizes with which all outputs are finite, or at least run.

    ``words`` holds, by input, texts that the model knows. Raises what ``run`` raised first if nothing runs, with what
    was tried if sizes may be to blame.
    """
    failures: list[ModelError] = []
    tried: list[Attempt] = []
    end = time.monotonic() + _SECONDS
    for attempt in attempts(specs):
        if tried and time.monotonic() > end:
            break
        tried.append(attempt)
        given = samples_of(attempt, specs, words)
        try:
            finite = _gives_numbers(run, given, specs, batch_size)
        except ModelError as error:
            if not failures and not all(map(may_be_sizes, error.problems)):
                raise
            failures.append(error)
            continue
        other = given if finite else samples_of(replace(attempt, other_values=True), specs, words)
        with suppress(ModelError):
            return other if finite or _gives_numbers(run, other, specs, batch_size) else given
        return given
    raise ModelError.of(_told(problem, tried) for problem in failures[0].problems)


def has_choice(specs: Sequence[TensorSpec]) -> bool:
    """Whether more than one attempt makes sense; a single picture or table of floats of fixed size has none."""
    only = specs[0] if len(specs) == 1 else None
    return only is None or any(axis for axis in only.dynamic_axes) or not only.dtype.startswith("float")


def fixes(specs: Sequence[TensorSpec], lost: Mapping[str, str]) -> dict[str, str]:
    """Return what to do about models that made-up inputs may have been too much for, by what each one said.

    A model that does not open, or whose process was ended, is not among them; and where no size could be chosen, only
    one that says that it did not take the values.
    """
    blamed = {
        name for name, cause in lost.items()
        if could_not_run(cause) and (has_choice(specs) or blames_values(cause))
    }  # fmt: skip
    return dict.fromkeys(blamed, "the inputs were made up, which may be the cause: give real ones with --data FILE.npz")


def samples_of(
    attempt: Attempt, specs: Sequence[TensorSpec], words: Mapping[str, Sequence[str]] | None = None
) -> Samples:
    """Return random samples of the right dtypes and of these sizes."""
    random = np.random.default_rng(0)
    longest = _longest(attempt, specs)
    shapes = {
        spec.name: [size_of(size, attempt.sizes) for size in spec.shape[0 if attempt.whole else 1 :]] for spec in specs
    }
    count = _affordable(shapes)
    inputs = {
        spec.name: _values(
            spec, (count, *shapes[spec.name]), random, longest, (words or {}).get(spec.name) or _WORDS,
            other=attempt.other_values,
        )
        if spec.value is None else _fixed(spec, (count, *shapes[spec.name]))
        for spec in specs
    }  # fmt: skip
    return Samples(inputs, None, _note(attempt, specs, inputs))


def _affordable(shapes: Mapping[str, Sequence[int]]) -> int:
    """Return how many samples of these shapes fit into memory; raises ``ModelError`` if not even one does."""
    each = sum(8 * math.prod(shape) for shape in shapes.values())
    if each > _BYTES:
        largest = max(shapes, key=lambda name: math.prod(shapes[name]))
        raise ModelError(
            "one sample of the inputs is too large to be made up", where=f"input '{largest}'",
            got=f"{list(shapes[largest])}: {each / 1e9:.3g} GB", expected=f"at most {_BYTES / 1e9:.3g} GB",
            fix=f"if that size is meant, {_REAL}",
        )  # fmt: skip
    return max(1, min(_SAMPLES, _BYTES // max(each, 1)))


def _values(
    spec: TensorSpec, shape: tuple[int, ...], random: np.random.Generator, longest: int, words: Sequence[str],
    *, other: bool,
) -> Array:  # fmt: skip
    """Integers are 0 or 1, which every vocabulary allows, unless the input's name says what they count."""
    if spec.dtype == "string":
        return np.array(random.choice(np.array(words, dtype=str), shape), dtype=str)
    kind = np.dtype(spec.dtype).kind
    values: Array = random.integers(0, 2, shape)
    if _MASK.search(spec.name):
        values = _mixed(shape, 0 if other else 1)
    elif kind == "f":
        values = random.uniform(0.1, 1.0, shape) if other else random.standard_normal(shape)
    elif kind != "b" and _POSITION.search(spec.name) and len(shape) > 1:
        values = np.broadcast_to(np.arange(shape[-1]), shape)
    elif kind != "b" and _LENGTH.search(spec.name):
        values = np.full(shape, max(longest, 1))
    elif kind != "b" and _RATE.search(spec.name):
        values = np.full(shape, 16000)
    elif other:
        values = _mixed(shape, 1)
    return values.astype(spec.dtype)


def _fixed(spec: TensorSpec, shape: tuple[int, ...]) -> Array:
    """Return samples of the one value that the model takes: whole ones, or rows of its batch."""
    value = np.asarray(spec.fixed_array())
    return np.array(np.broadcast_to(value if value.ndim < len(shape) else value[0], shape))


def _mixed(shape: tuple[int, ...], value: int) -> Array:
    """Return an array of ``value``, but for the end of every second sample: a mask that hides nothing shows nothing."""
    values = np.full(shape, value)
    if len(shape) > 1 and shape[-1] > 1:
        values[::2, ..., -1] = 1 - value
    return values


def _longest(attempt: Attempt, specs: Sequence[TensorSpec]) -> int:
    """Return what a length may be at most: the size that it counts, as far as that can be told."""
    if attempt.sizes:
        return max(attempt.sizes.values())
    return next((size for spec in specs for size in spec.shape[1:2] if isinstance(size, int)), 1)


def _gives_numbers(run: Run, given: Samples, specs: Sequence[TensorSpec], batch_size: int) -> bool:
    """Whether all that the model gives for the first batch is finite; raises what ``run`` raises."""
    outputs = run(next(batches(given, specs, batch_size))[0])
    return all(bool(np.isfinite(array).all()) for array in outputs.values() if array.dtype.kind == "f")


def may_be_sizes(problem: Problem) -> bool:
    """Whether a model that fails on inputs that were made up may just not take their sizes or values."""
    return problem.fix is None and not _NO_SIZE.search(f"{problem.what} {problem.got}")


def _note(attempt: Attempt, specs: Sequence[TensorSpec], inputs: Mapping[str, Array]) -> tuple[str, ...]:
    """Return a note on sizes that were chosen, if some are free: they decide how long it all takes."""
    if not any(axis or attempt.whole for spec in specs for axis in spec.dynamic_axes):
        return ()
    sizes = "; ".join(f"{name} {[*array.shape[1:]]}" for name, array in inputs.items())
    return (f"inputs were made up, each sample in this size: {sizes}; --data FILE gives real ones",)


def _told(problem: Problem, tried: Sequence[Attempt]) -> Problem:
    """Say that the inputs were made up, and in which sizes."""
    names = list(dict.fromkeys(name for attempt in tried for name in attempt.sizes))
    sizes = {name: sorted({attempt.sizes[name] for attempt in tried if name in attempt.sizes}) for name in names}
    said = "; ".join(f"{name}: {', '.join(map(str, of_name))}" for name, of_name in sizes.items())
    what = f"{len(tried)} combinations of sizes were tried ({said})" if said else "this model may not take such values"
    return replace(problem, fix=f"the inputs were made up, and {what}: {_REAL}")
