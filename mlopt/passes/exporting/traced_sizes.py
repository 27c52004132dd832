"""The sizes at which a traced graph is held against the module.

A tracer follows one input. ``if x.shape[0] > 3`` becomes whichever branch that input took, and the graph says nothing
about it. So the graph must give what the module gives at other sizes too, wherever the module itself runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from mlopt.core.errors import MeasureError, ModelError, PassError
from mlopt.formats.model import Model, TensorSpec
from mlopt.formats.torch.model import foreign_code, import_torch
from mlopt.measure.tolerance import within_tolerance
from mlopt.passes.exporting.exporter_errors import FIX_BRANCH, FIX_PACKED, HERE, rounding_apart
from mlopt.passes.exporting.size_guards import Probe
from mlopt.runtimes.base import Array, RuntimeOptions, Session
from mlopt.runtimes.table import open_default

if TYPE_CHECKING:
    from mlopt.formats.torch.module import Flat

_ELEMENTS = 1 << 24
"""Larger inputs are not made to see on which side of a comparison they fall."""


def check_sizes(
    model: Model, module: Flat, specs: Sequence[TensorSpec], examples: Sequence[Array], *, threads: int,
    others: Sequence[Array] = (), branches: Sequence[str] = (), probes: Sequence[Probe] = (),
) -> dict[str, list[int]]:  # fmt: skip
    """Return ``{dimension: [sizes]}`` at which graph and module agree; those that the module refuses are left out.

    ``others`` are inputs like ``examples`` with other values, ``branches`` the lines where Python read a size, and
    ``probes`` sizes at which it may have gone another way. Raises ``PassError`` where they differ: on what was traced,
    on ``others``, or at another size. Values come before sizes: more rows bring other values, too, and would be blamed
    for them.
    """
    checked: dict[str, list[int]] = {}
    with open_default(model, RuntimeOptions(threads=threads)) as session:
        _, difference = _compare(session, module, examples, model)
        if difference:
            raise _not_the_same(session, module, examples, model, difference)
        _check_values(session, module, specs, examples, others, model)
        traced, first = dimensions(specs, examples), next(iter(branches), None)
        usual = [
            Probe({name: other}, next((each.line for each in probes if each.line and name in each.sizes), first))
            for name, size in traced.items()
            for other in (size, 1, size + 1, 2 * size, 4 * size + 1)
        ]
        for probe in (*usual, *(probe for probe in probes if _affordable(probe, specs, examples))):
            feeds = [_resized(array, spec, probe.sizes) for array, spec in zip(examples, specs, strict=True)]
            as_traced = all(traced[name] == size for name, size in probe.sizes.items())
            agree, difference = (True, None) if as_traced else _compare(session, module, feeds, model)
            if difference:
                raise _another_size(probe, traced, difference, _known_cause(module, examples))
            (name, size), *more = probe.sizes.items()
            if agree and not more and size not in checked.setdefault(name, []):
                checked[name].append(size)
    return checked


def check_samples(model: Model, module: Flat, feeds: Sequence[Mapping[str, Array]]) -> None:
    """Raise ``PassError`` where graph and module differ on one of the feeds, or the module does not take it."""
    with open_default(model, RuntimeOptions(threads=1)) as session:
        for number, feed in enumerate(feeds):
            agree, difference = _compare(session, module, [feed[spec.name] for spec in model.inputs], model)
            if not agree:
                raise PassError(
                    "the exported graph does not give what the module gives" if difference else
                    "forward() does not take a sample by itself", where=HERE, got=difference or f"sample {number}",
                    expected="the same outputs as those of the module, on each sample",
                    fix="choose another `exporter`",
                )  # fmt: skip


def _check_values(
    session: Session, module: Flat, specs: Sequence[TensorSpec], examples: Sequence[Array], others: Sequence[Array],
    model: Model,
) -> None:  # fmt: skip
    """Raise ``PassError`` where graph and module differ on inputs of the same sizes, or on a second one."""
    one = [_resized(array, spec, {str(spec.shape[0]): 1}) if 0 in spec.dynamic_axes else array
           for array, spec in zip(examples, specs, strict=True)]  # fmt: skip
    _check_memory(module, (one, others), examples, model)
    for feeds in (others, *_witnesses(module, examples)) if others else ():
        _, difference = _compare(session, module, feeds, model)
        if difference:
            where, fix = _known_cause(module, examples) or (HERE, FIX_BRANCH)
            raise PassError(
                "the exported graph does not hold for other values of the inputs", where=where, got=difference,
                expected="what the module gives, whatever it was traced with", fix=fix,
            )  # fmt: skip


def _witnesses(module: Flat, examples: Sequence[Array]) -> Iterator[Sequence[Array]]:
    """Yield inputs that no sample may be like, if the module takes a size from what is in them."""
    from mlopt.passes.exporting.value_witness import shorter, sizes_from_values

    if sizes_from_values(module, examples):
        yield from shorter(examples)


def _known_cause(module: Flat, examples: Sequence[Array]) -> tuple[str, str] | None:
    """Return where and how to mend it, if the module does what is known to differ."""
    import torch

    from mlopt.passes.exporting.value_witness import PACKED, sizes_from_values

    if PACKED in sizes_from_values(module, examples):
        return HERE, FIX_PACKED
    return rounding_apart(module.fresh(), [torch.from_numpy(np.array(array)) for array in examples])


def _check_memory(module: Flat, earlier: Iterable[Sequence[Array]], examples: Sequence[Array], model: Model) -> None:
    """Raise ``PassError`` if what the module keeps of an earlier input changes what it gives for the next one.

    One that fails then only takes inputs of one size, as far as anybody has used it.
    """
    expected = _eager(module, examples, model)
    for feeds in filter(None, earlier):
        used = _eager(module, examples, model, after=feeds)
        if expected and used and (difference := _difference(partial(dict, used), expected)):
            raise PassError(
                "forward() keeps something of its first input, and uses it for other inputs", where=HERE,
                got=f"after another input, {difference}", expected="the same outputs as those of a new module",
                fix="compute it in each call, or anew when the shape that it was made for changes; what does not "
                "depend on the input belongs into __init__()",
            )  # fmt: skip


def _another_size(probe: Probe, traced: Mapping[str, int], difference: str, cause: tuple[str, str] | None) -> PassError:
    names = list(probe.sizes)
    sizes = ", ".join(f"{name} = {size}" for name, size in probe.sizes.items())
    number = f"or declare a number instead of '{names[0]}'"
    where, fix = cause or (
        f"model.inputs: dimension {', '.join(map(repr, names))}",
        f"do not branch on sizes in forward() (it reads one in {probe.line}), {number}" if probe.line else
        "an operator was exported for some sizes only: compute it from others (of interpolation and pooling to a fixed "
        f"size, that is often it), {number}",
    )  # fmt: skip
    return PassError(
        "the exported graph does not hold for every size of a dynamic dimension", where=where,
        got=f"at {sizes}: {difference}", fix=fix,
        expected=f"what the module gives; it was traced at {', '.join(f'{name} = {traced[name]}' for name in names)}",
    )  # fmt: skip


def _affordable(probe: Probe, specs: Sequence[TensorSpec], examples: Sequence[Array]) -> bool:
    shapes = ([probe.sizes.get(str(name), size) for name, size in zip(spec.shape, array.shape, strict=True)]
              for spec, array in zip(specs, examples, strict=True))  # fmt: skip
    return bool(sum(math.prod(shape) for shape in shapes) <= _ELEMENTS)


def _not_the_same(
    session: Session, module: Flat, feeds: Sequence[Array], model: Model, difference: str
) -> PassError:  # fmt: skip
    """Say why graph and module differ even on what was traced."""
    import torch

    first, again = (_eager(module, feeds, model) for _ in range(2))
    if first and again and (changed := _difference(lambda: again, first)):
        return PassError(
            "the model does not give the same twice", where=HERE, got=f"the second time, {changed}",
            expected="the same outputs for the same inputs",
            fix="leave random numbers and what forward() keeps for the next call out of the model, or make them inputs",
        )  # fmt: skip
    if cause := rounding_apart(module.fresh(), [torch.from_numpy(feed) for feed in feeds]):
        return PassError(
            "the exported graph does not give what the module gives", where=cause[0], got=difference,
            expected="the same outputs as those of the module, on what was traced", fix=cause[1],
        )  # fmt: skip
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        agree, _ = _compare(session, module, feeds, model)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return PassError(
        "the exported graph does not give what the module gives", where=HERE, got=difference,
        expected="the same outputs as those of the module, on what was traced",
        fix="build nn.TransformerEncoder with enable_nested_tensor=False: it gives zeros for padding only when it runs "
        "eagerly, and is not exported like that" if agree
        else "change what Python does with the input in forward(), or choose another `exporter`",
    )  # fmt: skip


def dimensions(specs: Sequence[TensorSpec], examples: Sequence[Array]) -> dict[str, int]:
    """Return each dynamic dimension's size in the examples."""
    pairs = [
        (spec.shape[axis], array.shape[axis])
        for spec, array in zip(specs, examples, strict=True)
        for axis in spec.dynamic_axes
    ]
    return {str(name): size for name, size in pairs}


def _resized(array: Array, spec: TensorSpec, sizes: Mapping[str, int]) -> Array:
    """Repeat or cut the array along the axes that have a name in ``sizes``."""
    for axis in (axis for axis in spec.dynamic_axes if spec.shape[axis] in sizes):
        array = np.take(array, np.arange(sizes[str(spec.shape[axis])]) % array.shape[axis], axis=axis)
    return array


def _compare(session: Session, module: Flat, feeds: Sequence[Array], model: Model) -> tuple[bool, str | None]:
    """Return whether graph and module agree, and how they differ; neither, where the module does not take this."""
    expected = _eager(module, feeds, model)
    if expected is None:
        return False, None
    names = (spec.name for spec in model.inputs)
    given = dict(zip(names, feeds, strict=True))
    difference = _difference(lambda: session.run(given), expected)
    return difference is None, difference


def _eager(
    module: Flat, feeds: Sequence[Array], model: Model, after: Sequence[Array] | None = None
) -> dict[str, Array] | None:
    """Return the outputs of a new module, or of one that was run on ``after``; None where it does not take this."""
    torch = import_torch()
    fresh = module.fresh()
    try:
        with torch.inference_mode(), foreign_code("forward() does not take this size", str(model.path)):
            for given in (after, feeds) if after else (feeds,):
                values = fresh(*(torch.from_numpy(feed) for feed in given))
    except ModelError:
        return None
    if len(values) != len(model.outputs):
        raise PassError(
            "forward() returns another number of outputs for other sizes of its inputs", where=HERE,
            got=f"{len(values)} for {', '.join(str(list(feed.shape)) for feed in feeds)}",
            expected=str(len(model.outputs)),
            fix="return always as many: one tensor with another axis (torch.stack) instead of a list",
        )  # fmt: skip
    return {spec.name: value.detach().numpy() for spec, value in zip(model.outputs, values, strict=True)}


def _difference(run: Callable[[], dict[str, Array]], expected: dict[str, Array]) -> str | None:
    """Return the first difference in words; of arrays without values only the shapes count."""
    try:
        got = run()
        for name, array in expected.items():
            if array.size == 0 and got[name].shape == array.shape:
                continue
            reason = within_tolerance({name: array}, {name: got[name]})
            if reason:
                return reason
    except (ModelError, MeasureError) as error:
        problem = error.problems[0]
        return ": ".join(part for part in (problem.where, problem.what, problem.got) if part)
    return None
