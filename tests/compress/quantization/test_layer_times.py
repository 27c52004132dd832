"""Booking the time of fused and renamed nodes on the layers that they come from."""

from __future__ import annotations

from onnx import helper

from mlopt.compress.quantization.layer_times import by_layer, conversion_ms
from mlopt.results.timing import NodeTime

GRAPH = helper.make_graph(
    [
        helper.make_node("Conv", ["x", "w1"], ["c_1"], name="conv_1"),
        helper.make_node("Relu", ["c_1"], ["r_1"], name="relu_1"),
        helper.make_node("Conv", ["r_1", "w2"], ["c_11"], name="conv_11"),
        helper.make_node("Softmax", ["c_11"], ["y"], name="softmax"),
    ],
    "g", [helper.make_tensor_value_info("x", 1, None)], [helper.make_tensor_value_info("y", 1, None)],
)  # fmt: skip


def booked(*named: tuple[str, float]) -> dict[str, float]:
    return by_layer([NodeTime(name, "Conv", ms) for name, ms in named], GRAPH, ["conv_1", "conv_11"])


def test_names_of_every_form_find_their_layer() -> None:
    names = ["conv_1", "conv_1_token_7", "r_1_nchwc", "r_1_DequantizeLinear", "relu_1", "x_QuantizeLinear"]
    assert booked(*((name, 1.0) for name in names)) == {"conv_1": 6.0}


def test_the_longest_name_counts() -> None:
    assert booked(("conv_11_quant", 2.0), ("c_11_nchwc", 1.0)) == {"conv_11": 3.0}
    assert booked(("conv_111", 1.0)) == {"": 1.0}  # no part of a name ends within a number


def test_what_follows_a_layer_is_booked_on_it_and_the_rest_is_told_apart() -> None:
    assert booked(("softmax", 1.0), ("ReorderOutput", 0.5)) == {"conv_11": 1.0, "": 0.5}


def test_conversions() -> None:
    times = [NodeTime("a", "QuantizeLinear", 1.0), NodeTime("b", "ReorderInput", 2.0), NodeTime("c", "Conv", 4.0)]
    assert conversion_ms(times) == 3.0
