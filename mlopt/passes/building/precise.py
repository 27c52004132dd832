"""Whether a model, and what is built of it, is in the precision that a recipe asks for: ``require_precision``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from mlopt.core.errors import PassError
from mlopt.formats.model import Model
from mlopt.passes.building.readable import precisions
from mlopt.results.timing import Layer
from mlopt.runtimes.tensorrt_layers import computed_in

Wanted = Mapping[Literal["int8", "fp16"], float]
"""The least share of layers in a precision."""
_STEPS = {"int8": "quantize: {mode: static, placement: tensorrt}", "fp16": "fp16: {placement: tensorrt}"}


def by_graph(model: Model, wanted: Wanted) -> dict[str, float]:
    """Return the shares of layers in each precision; raises ``PassError`` if they are less than what is asked for."""
    found = precisions(model.path)
    for name, share in wanted.items():
        if found[name] < share:
            raise PassError(
                f"fewer layers are in {name} than the recipe asks for", where=_where(name),
                got=f"{found[name]:.0%} of them", expected=_at_least(share), fix=f"put `{_STEPS[name]}` before it",
            )  # fmt: skip
    return found


def by_layers(layers: Sequence[Layer], wanted: Wanted, label: str) -> None:
    """Hold an engine to it by what the library tells of its layers; raises ``PassError``.

    Nothing is known where it tells nothing, as it does without a driver, or tells no layer's precision.
    """
    found = computed_in(layers) or wanted
    for name, share in wanted.items():
        if found[name] < share:
            raise PassError(
                f"the engine computes fewer layers in {name} than the recipe asks for", where=_where(name),
                got=f"{found[name]:.0%} of them, for {label}", expected=_at_least(share),
                fix="the library takes what it measures to be faster: ask for less, or leave `require_precision` out",
            )  # fmt: skip


def _where(name: str) -> str:
    return f"passes.tensorrt.require_precision.{name}"


def _at_least(share: float) -> str:
    return f"at least {share:.0%}"
