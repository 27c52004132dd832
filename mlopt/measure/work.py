"""How many multiplications one inference of a model takes, on samples of the size that it is measured on."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING

from mlopt.core.errors import ModelError
from mlopt.data.dataset import Dataset
from mlopt.data.feeds import batches
from mlopt.formats import table as formats
from mlopt.formats.model import Model
from mlopt.formats.onnx.macs import UnknownError, count_macs, input_shapes

if TYPE_CHECKING:
    import onnx

_SHAPE_LIKE = 1024
"""Values of a constant that may say sizes; a larger one is a weight, whose values play no part."""


def macs(model: Model, dataset: Dataset, batch_size: int) -> int | None:
    """Return the multiplications of one inference of the first so many samples; None where they cannot be counted."""
    if not formats.has_graph(model.kind):
        return None
    feed, _ = next(batches(dataset, model.inputs, batch_size))
    return _counted(model, tuple((name, array.shape) for name, array in feed.items()))


@lru_cache(maxsize=256)
def _counted(model: Model, shapes: tuple[tuple[str, tuple[int, ...]], ...]) -> int | None:
    try:
        proto = formats.graph_of(model)
        _forget_weights(proto.graph)
        return count_macs(proto, model.inputs, input_shapes(model.inputs, dict(shapes)))
    except (UnknownError, ModelError):
        return None


def _forget_weights(graph: onnx.GraphProto) -> None:
    """Leave only the shapes of large constants: the graph is copied to be looked at."""
    for tensor in graph.initializer:
        if prod(tensor.dims) > _SHAPE_LIKE:
            for field in ("raw_data", "float_data", "int32_data", "double_data", "uint64_data"):
                tensor.ClearField(field)
