"""The order of an ONNX graph's nodes: tools append what they make, and readers want every node after what it reads."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from mlopt.core.errors import ModelError
from mlopt.formats.onnx.graph import reads, subgraphs

if TYPE_CHECKING:
    import onnx


def sort_nodes(graph: onnx.GraphProto) -> bool:
    """Put every node after those that it reads from, and leave the order otherwise as it is; return if it changed.

    Raises ``ModelError`` if nodes read from each other in a circle.
    """
    producer = {name: index for index, node in enumerate(graph.node) for name in node.output if name}
    readers: dict[int, list[int]] = {}
    waiting = [0] * len(graph.node)
    for index, node in enumerate(graph.node):
        for source in {producer[name] for name in reads(node) if name in producer}:
            readers.setdefault(source, []).append(index)
            waiting[index] += 1
    ready = [index for index, count in enumerate(waiting) if count == 0]
    order: list[int] = []
    while ready:
        index = heapq.heappop(ready)
        order.append(index)
        for reader in readers.get(index, []):
            waiting[reader] -= 1
            if waiting[reader] == 0:
                heapq.heappush(ready, reader)
    if len(order) < len(graph.node):
        stuck = next(node for node, count in zip(graph.node, waiting, strict=True) if count)
        raise ModelError(
            "the graph has a circle", where=f"node '{stuck.name}' ({stuck.op_type})", fix="export the model again"
        )
    changed = order != sorted(order)
    if changed:
        position = {tuple(graph.node[index].output): place for place, index in enumerate(order)}
        graph.node.sort(key=lambda node: position[tuple(node.output)])
    inner = [sort_nodes(body) for node in graph.node for body in subgraphs(node)]
    return changed or any(inner)
