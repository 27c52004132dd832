"""What tells that a graph was exported in training mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlopt.formats.onnx.graph import node_names

if TYPE_CHECKING:
    import onnx

EXPORT_AGAIN = "call `model.eval()` and export the model again"


def in_training(graph: onnx.GraphProto) -> list[str]:
    """Return the nodes that take their statistics from the batch, as far as a graph shows: those of training mode."""
    return [
        f"{node.op_type} '{name}'"
        for node, name in zip(graph.node, node_names(graph), strict=True)
        if node.op_type == "BatchNormalization" and any(a.name == "training_mode" and a.i for a in node.attribute)
    ]
