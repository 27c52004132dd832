"""What in a graph tells that it was exported in training mode."""

from __future__ import annotations

import onnx
from onnx import helper

from mlopt.formats.onnx.training import in_training


def normalization(name: str, **attributes: int) -> onnx.NodeProto:
    names = ["x", "scale", "bias", "mean", "var"]
    return helper.make_node("BatchNormalization", names, [f"y{name}"], name=name, **attributes)


def test_only_nodes_that_take_their_statistics_from_the_batch_are_named() -> None:
    nodes = [
        normalization("still", training_mode=0), normalization("moving", training_mode=1), normalization("plain"),
        normalization("", training_mode=1), helper.make_node("Dropout", ["x"], ["z"], name="drop"),
    ]  # fmt: skip
    found = in_training(helper.make_graph(nodes, "g", [], []))
    assert found == ["BatchNormalization 'moving'", "BatchNormalization 'BatchNormalization_3'"]


def test_a_graph_without_them_is_not_in_training() -> None:
    assert in_training(helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [], [])) == []
