"""Of which models engines are built: the one that the steps came to, and beside it the same before it was quantized.

What FP16 or INT8 is worth on a GPU is known only beside what it replaces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mlopt.core.errors import PassError
from mlopt.formats.model import Model
from mlopt.formats.tensorrt import Precision
from mlopt.passes.building.readable import precisions

BESIDE = "passes.tensorrt.beside"
"""The key that errors are about."""


@dataclass(frozen=True)
class TypedModel:
    """A model to build engines of, and what it computes in."""

    precision: Precision
    model: Model


def own(model: Model) -> TypedModel:
    """Return the model that the steps came to, called after the least precision that a layer has."""
    shares = precisions(model.path)
    return TypedModel("int8" if shares["int8"] else "fp16" if shares["fp16"] else "fp32", model)


def beside(
    model: Model, wanted: Sequence[Precision], exact: Model | None, in_fp16: Callable[[Model], Model]
) -> Iterator[TypedModel]:  # fmt: skip
    """Yield the model in the precisions that are wanted beside its own.

    ``exact`` is the model before the first lossy step, if there was one; ``in_fp16`` converts such a model.
    Raises ``PassError`` where there is no such model: nothing is left of FP32 in a source that came in less.
    """
    here = own(model).precision
    for precision in dict.fromkeys(wanted):
        if precision != here:
            whole = _whole(exact or model)
            yield TypedModel(precision, whole if precision == "fp32" else in_fp16(whole))


def _whole(model: Model) -> Model:
    """Return a model that is in FP32; raises ``PassError`` for another."""
    precision = own(model).precision
    if precision != "fp32":
        raise PassError(
            "there is no model in fp32 to build engines of", where=BESIDE, got=f"it came in {precision}",
            expected="a step of the recipe that made it so", fix="leave `beside` out",
        )  # fmt: skip
    return model
