"""What each layer takes, read off onnxruntime's profile of the graph that really runs.

That graph is fused and reordered, and its nodes are named after the originals, more or less: ``conv_1``,
``conv_1_token_7``, ``relu_1_nchwc`` (after the output of a fused activation), ``relu_1_DequantizeLinear``. So a node's
time is booked on the original node or tensor with the longest name that its own begins with, and from there on the
layer that it follows: what surrounds a layer (conversions to and from INT8, changes of layout) is part of its price.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from mlopt.results.timing import NodeTime

if TYPE_CHECKING:
    import onnx

_CONVERSIONS = frozenset({"QuantizeLinear", "DequantizeLinear", "Transpose", "ReorderInput", "ReorderOutput"})
_NEXT_PART = re.compile(r"[^A-Za-z0-9]")


def by_layer(times: Iterable[NodeTime], graph: onnx.GraphProto, layers: Collection[str]) -> dict[str, float]:
    """Return the milliseconds of each layer in one inference; what cannot be booked on one is under ``""``."""
    owners = _owners(graph, layers)
    spent: dict[str, float] = defaultdict(float)
    for node in times:
        spent[_owner(node.name, owners)] += node.ms
    return spent


def conversion_ms(times: Iterable[NodeTime]) -> float:
    """Return the milliseconds that go into changing types and layouts, not into computing."""
    return sum(node.ms for node in times if node.op_type in _CONVERSIONS)


def _owners(graph: onnx.GraphProto, layers: Collection[str]) -> dict[str, str]:
    """Return, for the name of each node and tensor, the layer that it belongs to: itself, or the one upstream."""
    layer_of: dict[str, str] = {}
    owners: dict[str, str] = {}
    for node in graph.node:
        upstream = (layer_of[name] for name in node.input if name in layer_of)
        owner = node.name if node.name in layers else next(upstream, "")
        owners[node.name] = owner
        for output in node.output:
            layer_of[output] = owners[output] = owner
    for value in graph.input:  # what happens to an input happens for the layers that read it
        readers = (owners[node.name] for node in graph.node if value.name in node.input)
        owners[value.name] = next((reader for reader in readers if reader), "")
    return owners


def _owner(name: str, owners: dict[str, str]) -> str:
    """Find the longest known name that ``name`` is, or begins with up to the end of a part."""
    ends = [len(name), *(found.start() for found in reversed(list(_NEXT_PART.finditer(name))))]
    return next((owners[name[:end]] for end in ends if name[:end] in owners), "")
