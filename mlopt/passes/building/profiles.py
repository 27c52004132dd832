"""Which sizes an engine takes: what a recipe may say of them, and what is made of its samples where it says nothing."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence

from mlopt.core.errors import Problem
from mlopt.data.dataset import Dataset
from mlopt.formats.model import TensorSpec
from mlopt.formats.tensorrt import Range, Sizes
from mlopt.passes.building.settings import Profile

_LARGER = 4
"""A batch may grow to so many times the target's, unless the recipe says otherwise."""


def profile_problems(profiles: Sequence[Mapping[str, Range]], inputs: Sequence[TensorSpec]) -> Iterator[Problem]:
    """Yield what in profiles fits no model with such inputs; ``where`` is the key."""
    specs = {spec.name: spec for spec in inputs}
    varying = [spec.name for spec in inputs if spec.dynamic_axes]
    for number, profile in enumerate(profiles):
        where = f"profiles.{number}"
        for name, wanted in profile.items():
            if name not in specs:
                close = difflib.get_close_matches(name, list(specs), n=1)
                fix = f"did you mean '{close[0]}'?" if close else "`mlopt inspect` shows what there is"
                yield Problem(f"the model has no input '{name}'", where, name, ", ".join(specs), fix)
            else:
                yield from _of_input(wanted, specs[name], f"{where}.{name}")
        lacking = [name for name in varying if name not in profile]
        if lacking:
            yield Problem("each input whose sizes vary has its sizes in each profile", where,
                          f"none for {', '.join(lacking)}", "min, opt and max of each", "add them, or leave out "
                          "`profiles`: they are then made from the samples")  # fmt: skip


def _of_input(wanted: Range, spec: TensorSpec, where: str) -> Iterator[Problem]:
    if not spec.dynamic_axes:
        yield Problem(f"input '{spec.name}' has fixed sizes, and a profile is about those that vary", where,
                      str(spec), fix="leave it out")  # fmt: skip
        return
    for key, sizes in wanted.model_dump(mode="json").items():
        if len(sizes) != len(spec.shape):
            yield Problem("a profile has as many sizes as the input", f"{where}.{key}", str(sizes), str(spec),
                          "give one for each axis")  # fmt: skip
            return
        wrong = [axis for axis, size in enumerate(spec.shape) if isinstance(size, int) and size != sizes[axis]]
        if wrong:
            yield Problem(f"axis {wrong[0]} of input '{spec.name}' has one size", f"{where}.{key}",
                          str(sizes[wrong[0]]), str(spec.shape[wrong[0]]), "give that size there")  # fmt: skip
            return
    if not all(a <= b <= c for a, b, c in zip(wanted.min, wanted.opt, wanted.max, strict=True)):
        got = "; ".join(f"{key} {sizes}" for key, sizes in wanted.model_dump(mode="json").items())
        yield Problem("a profile's sizes go up", where, got, "min <= opt <= max in each axis", "put them in that order")


def made_from(inputs: Sequence[TensorSpec], samples: Dataset, batch_size: int) -> tuple[Profile, ...]:
    """Return the profile that samples ask for, one at most: no sizes vary in a model that is fixed.

    A batch has one sample up to four times the target's, and is best at that. Other sizes are those of the samples.
    """
    found = {
        spec.name: sizes_of(spec, samples.inputs[spec.name].shape, batch_size) for spec in inputs if spec.dynamic_axes
    }
    return (found,) if found else ()


def sizes_of(spec: TensorSpec, shape: tuple[int, ...], batch_size: int) -> Range:
    """Return the range of an input; ``shape`` is that of all samples, [samples, ...].

    A model that takes one sample whole, without a batch, has an axis less than those.
    """
    whole = len(shape) == len(spec.shape) + 1
    seen = shape[1:] if whole else (batch_size, *shape[1:])
    batched = not whole and isinstance(spec.shape[0], str)
    rest: Sizes = seen[1:] if batched else seen
    first: tuple[Sizes, Sizes, Sizes] = ((1,), (batch_size,), (batch_size * _LARGER,)) if batched else ((), (), ())
    least, best, most = ((*head, *rest) for head in first)
    return Range(min=least, opt=best, max=most)
