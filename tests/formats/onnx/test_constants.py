"""The constants that nodes read, through what converts or moves them."""

from __future__ import annotations

import numpy as np
from onnx import GraphProto, helper, numpy_helper

from mlopt.formats.onnx.constants import Constants

NODE = helper.make_node


def graph(*nodes: object) -> GraphProto:
    weight = numpy_helper.from_array(np.ones((2, 3), np.int8), "w")
    return helper.make_graph(list(nodes), "g", [], [], [weight])


def test_a_constant_is_found_through_what_only_moves_it() -> None:
    product = NODE("MatMul", ["x", "t"], ["y"])
    made = graph(
        NODE("DequantizeLinear", ["w", "s"], ["d"]), NODE("Transpose", ["d"], ["t"], perm=[1, 0]), product,
    )  # fmt: skip
    (found,) = Constants(made).of(product)
    assert (found.name, list(found.tensor.dims)) == ("w", [2, 3])
    assert [node.op_type for node in found.way] == ["Transpose", "DequantizeLinear"]
    assert Constants(made).of(product, (0,)) == []


def test_a_constant_node_is_one_and_what_is_computed_is_none() -> None:
    value = numpy_helper.from_array(np.ones(4, np.float32), "value")
    made = graph(NODE("Constant", [], ["c"], value=value), NODE("Relu", ["x"], ["r"]), NODE("Identity", ["i"], ["i"]))
    constants = Constants(made)
    assert constants.behind("c") is not None
    assert [constants.behind(name) for name in ("r", "x", "i")] == [None, None, None], "a circle ends"
