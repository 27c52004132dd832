"""Whether one model's outputs are another's inputs: then an engine can feed the second itself. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from mlopt.deploy.contents import ServedContent
from mlopt.formats.model import TensorSpec


@dataclass(frozen=True)
class Link:
    """``first`` feeds ``second`` with the outputs in ``fed``; the other inputs of both come with the request."""

    name: str
    first: ServedContent
    second: ServedContent
    fed: tuple[str, ...]

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What a request holds; an input that both have under one name goes to both."""
        own = {spec.name: spec for spec in self.first.inputs}
        rest = {spec.name: spec for spec in self.second.inputs if spec.name not in self.fed}
        return tuple((own | rest).values())

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What is answered: the second model's outputs."""
        return self.second.outputs


def link(contents: Sequence[ServedContent]) -> tuple[Link | None, str]:
    """Return how the first of two feeds the second, or None, and why.

    Outputs and inputs belong together by name; all that share a name must agree in type and shape.
    """
    if len(contents) != 2:
        return None, "an ensemble is made of two models"
    first, second = contents
    inputs = {spec.name: spec for spec in second.inputs}
    shared = [(spec, inputs[spec.name]) for spec in first.outputs if spec.name in inputs]
    if not shared:
        return None, f"no output of {first.name} has the name of an input of {second.name}"
    for output, taken in shared:
        if output.dtype != taken.dtype or not fits(output.shape, taken.shape):
            return None, f"{first.name} gives {output}, and {second.name} takes {taken}"
    for spec in first.inputs:
        other = inputs.get(spec.name)
        if other is not None and other not in [taken for _, taken in shared] and other.dtype != spec.dtype:
            return None, f"both take '{spec.name}', of different types"
    if first.batches != second.batches:
        return None, "only one of them takes batches"
    fed = tuple(output.name for output, _ in shared)
    return Link(f"{first.name[:31]}-{second.name[:31]}", first, second, fed), f"{first.name} feeds {', '.join(fed)}"


def fits(given: tuple[int | str, ...], taken: tuple[int | str, ...]) -> bool:
    """Whether an output of this shape can be fed where that one is taken: sizes that are known must be equal."""
    return len(given) == len(taken) and all(
        isinstance(left, str) or isinstance(right, str) or left == right
        for left, right in zip_longest(given, taken)
    )  # fmt: skip
