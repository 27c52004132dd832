"""What a model, and the data that it is judged on, have against being fixed to certain sizes and values.

Names are looked for among the inputs, as inputs decide the sizes of everything else. Data of other sizes or values
would say nothing of the deployment, so they are an error before any work, not a result.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mlopt.core.errors import Problem
from mlopt.data.dataset import Dataset
from mlopt.data.fixed import value_problem
from mlopt.data.sizes import fixed_size, parts_of
from mlopt.formats.fixed import check, difference, frozen
from mlopt.formats.model import TensorSpec
from mlopt.passes.base import Interface

Dims = Mapping[str, int]


def dimensions(specs: Sequence[TensorSpec]) -> list[str]:
    """Return the names of the free sizes, and those in sums of sizes such as ``past + length``."""
    names = [size for spec in specs for size in spec.shape if isinstance(size, str)]
    return list(dict.fromkeys((*names, *(part for name in names for part in parts_of(name)))))


def size_problems(dims: Dims, interface: Interface) -> Iterator[Problem]:
    """Yield the sizes that cannot be fixed, and why; ``where`` is the key."""
    names, known = dimensions(interface.inputs), dict(interface.sizes) | _at_places(interface.inputs)
    for name, size in dims.items():
        where = f"dims.{name}"
        if name in names:
            parts = {key: of_part for key, of_part in dims.items() if key in parts_of(name)}
            total = fixed_size(name, parts)
            if isinstance(total, int) and total != size:
                yield Problem(f"'{name}' is fixed at two sizes", where, str(size), f"{total}, as its parts add up to")
        elif name in known:
            if known[name] != size:
                yield Problem(f"'{name}' is fixed already", where, str(size), str(known[name]), "leave it out")
        elif name in dimensions(interface.outputs):
            yield Problem(
                f"only outputs have a size '{name}', and inputs decide it", where, name, _listed(names), "leave it out"
            )
        else:
            called = _named_at(name, interface.inputs)
            yield _unknown("size", name, names, where, called and f"it is called '{called}'")


def value_problems(before: Interface, after: Interface, values: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield which of the inputs that are to be fixed do not exist, or cannot hold what they are fixed at."""
    old = {spec.name: spec for spec in before.inputs}
    new = {spec.name: spec for spec in after.inputs}
    for name in values:
        where = f"inputs.{name}"
        if name not in old:
            if name not in before.defaults:  # of these, the graph has the value
                yield _unknown("input", name, list(old), where)
            continue
        try:
            check(frozen(values[name]), new[name].dtype, new[name].shape)
        except (ValueError, TypeError) as error:
            yield Problem(f"input '{name}' cannot be fixed at this: {error}", where, _shown(new[name]), str(old[name]))
            continue
        if old[name].value is not None and _differ(old[name], new[name]):
            yield Problem(f"input '{name}' is fixed already", where, _shown(new[name]), _shown(old[name]))


def unlike(before: Interface, after: Interface, data: Dataset, role: str, batch_size: int) -> Iterator[Problem]:
    """Yield where samples, or the batches that they are fed in, are not what the model is to be fixed to."""
    told: set[int | str] = set()
    for old, new in zip(before.inputs, after.inputs, strict=True):
        array = data.inputs[old.name]
        whole = array.ndim == len(old.shape) + 1
        given = array.shape[1:] if whole else (batch_size, *array.shape[1:])
        changed = [axis for axis, size in enumerate(new.shape) if size != old.shape[axis]]
        wrong = [axis for axis in changed if given[axis] != new.shape[axis]]
        for axis in wrong:
            name, size, got = old.shape[axis], new.shape[axis], given[axis]
            key = f"dims.{name}"
            if name in told:
                continue
            told.add(name)
            if axis or whole:
                yield Problem(
                    f"the {role} data has another size than '{name}' is fixed at", key,
                    f"{got} in axis {axis} of input '{old.name}', in sample 0 as in all", f"{size}",
                    f"{name}: {got}, or samples of the size that is deployed",
                )  # fmt: skip
            else:
                yield Problem(
                    f"'{name}' is fixed at another batch than the target's", key, f"{size} (batch_size: {got})",
                    "one size for both", f"{name}: {got}, or target: {{batch_size: {size}}}",
                )  # fmt: skip
        if not wrong and new.value is not None and old.value is None:
            found = value_problem(array, new, f"inputs.{old.name}")
            if found is not None:
                yield Problem(f"{role}: {found.what}", found.where, found.got, found.expected, found.fix)


def _differ(old: TensorSpec, new: TensorSpec) -> bool:
    """Whether the value that an input is fixed at is another one, however it is written."""
    return difference(np.asarray(new.fixed_array()), np.asarray(old.fixed_array())) is not None


def _at_places(specs: Sequence[TensorSpec]) -> dict[str, int]:
    """Return the sizes that have no name, by the one that they would have if they were free."""
    return {f"{spec.name}_{n}": size for spec in specs for n, size in enumerate(spec.shape) if isinstance(size, int)}


def _named_at(place: str, specs: Sequence[TensorSpec]) -> str | None:
    """Return what a size is called that was asked for by its place."""
    named = {f"{spec.name}_{n}": size for spec in specs for n, size in enumerate(spec.shape) if isinstance(size, str)}
    return named.get(place)


def _unknown(what: str, name: str, known: Sequence[str], where: str, fix: str | None = None) -> Problem:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{close[0]}'?" if close else "`mlopt inspect` shows what there is"
    return Problem(f"the model has no {what} '{name}'", where, name, _listed(known), fix or hint)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none: every size is fixed"


def _shown(spec: TensorSpec) -> str:
    return str(spec).rpartition(" = ")[2]
