"""The layers of a model, from its file alone: what computes, of what size, at which cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from inspected_models import one_node, partly_quantized
from onnx import TensorProto, helper, numpy_helper
from quantization_models import branching

from mlopt.artifact.inspection import inspect_model
from mlopt.artifact.layers import LayerCost, layers_of

NODE = helper.make_node


def test_each_layer_has_its_shapes_and_its_share(tmp_path: Path) -> None:
    path = partly_quantized(tmp_path / "m.onnx")
    conv, product = layers_of(path)
    assert conv == LayerCost(
        "Conv_0", "Conv", (1, 3, 10, 10), (8, 3, 3, 3), (1, 8, 8, 8), 216, 13824, 216 / 2264, 13824 / 15872
    )
    assert (product.name, product.weight, product.parameters, product.macs) == ("MatMul_5", (512, 4), 2048, 2048)
    assert conv.macs is not None
    assert product.macs is not None
    assert conv.macs + product.macs == inspect_model(path).macs
    assert layers_of(path, {"x": (5, 3, 10, 10)})[0].macs == 5 * conv.macs


def test_what_cannot_be_counted_is_not_called_nothing(tmp_path: Path) -> None:
    node = NODE("Attention", ["x", "w"], ["y"], domain="com.microsoft", name="heads", num_heads=2)
    (layer,) = layers_of(one_node(tmp_path / "m.onnx", node, {"w": (4, 12)}, ["n", 5, 4]))
    assert (layer.operator, layer.macs, layer.macs_share) == ("com.microsoft::Attention", None, None)
    assert (layer.parameters, layer.parameters_share) == (48, 1.0)


def test_weights_of_which_several_share_a_byte_count_one_by_one(tmp_path: Path) -> None:
    node = NODE("MatMulNBits", ["x", "w", "s"], ["y"], domain="com.microsoft", K=64, N=8, bits=4, block_size=32)
    path = one_node(tmp_path / "m.onnx", node, {"s": (16,)}, ["n", 5, 64])
    proto = onnx.load(path)
    proto.graph.initializer.append(numpy_helper.from_array(np.zeros((8, 2, 16), np.uint8), "w"))
    onnx.save(proto, path)
    (layer,) = layers_of(path)
    assert (layer.weight, layer.parameters, layer.macs) == ((8, 64), 8 * 64, 5 * 64 * 8), "scales are no parameters"


def test_a_weight_of_two_layers_counts_once_and_constants_of_one_name_are_two(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.ones((4, 4), np.float32), "same")
    nodes = [
        NODE("Constant", [], ["a"], value=weight), NODE("Constant", [], ["b"], value=weight),
        NODE("MatMul", ["x", "a"], ["one"]), NODE("MatMul", ["one", "a"], ["two"]), NODE("MatMul", ["two", "b"], ["y"]),
    ]  # fmt: skip
    value = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "xy"}
    graph = helper.make_graph(nodes, "g", [value["x"]], [value["y"]])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    assert [layer.parameters for layer in layers_of(tmp_path / "m.onnx")] == [16, 0, 16]


def test_what_only_moves_values_is_no_layer(tmp_path: Path) -> None:
    path = one_node(tmp_path / "m.onnx", NODE("Relu", ["x"], ["y"]), {}, ["n", 4])
    assert layers_of(path) == ()


def test_a_branch_is_part_of_its_node(tmp_path: Path) -> None:
    path = branching(tmp_path / "m.onnx")
    assert sum(layer.macs or 0 for layer in layers_of(path)) == inspect_model(path).macs


@pytest.mark.parametrize("shape", [["n", 4], ["n", "m"]])
def test_the_shares_of_a_small_model_add_up(tmp_path: Path, shape: list[int | str]) -> None:
    path = one_node(tmp_path / "m.onnx", NODE("MatMul", ["x", "w"], ["y"]), {"w": (4, 3)}, shape)
    (layer,) = layers_of(path, {} if shape[1] == 4 else {"x": (2, 4)})
    assert (layer.parameters_share, layer.macs_share) == (1.0, 1.0)
