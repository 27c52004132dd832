from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from mlopt.formats.onnx.graph import node_names, operators


def graph(nodes: list[onnx.NodeProto]) -> onnx.GraphProto:
    return helper.make_graph(nodes, "g", [helper.make_tensor_value_info("v0", TensorProto.FLOAT, [1])], [])


def test_every_node_has_a_name_of_its_own_and_keeps_one_that_it_has() -> None:
    names = ["", "Neg_2", "", "twice", "twice", ""]
    nodes = [helper.make_node("Neg", ["v0"], [f"v{place}"], name=name) for place, name in enumerate(names, 1)]
    assert node_names(graph(nodes)) == ["Neg_0", "Neg_2", "Neg_3", "twice", "twice_4", "Neg_5"]


def test_constants_do_not_change_the_names_of_others() -> None:
    constant = helper.make_node("Constant", [], ["k"], value_float=1.0)
    nodes = [helper.make_node("Neg", ["v0"], ["a"]), helper.make_node("Abs", ["a"], ["b"])]
    named = dict(zip(["Neg", "Constant", "Abs"], node_names(graph([nodes[0], constant, nodes[1]])), strict=True))
    assert [named["Neg"], named["Abs"]] == node_names(graph(nodes))


def test_operators_of_subgraphs_count_too() -> None:
    body = helper.make_graph([helper.make_node("Neg", ["v0"], ["out"])], "body", [], [])
    branch = helper.make_node("If", ["v0"], ["y"], then_branch=body, else_branch=body)
    assert operators(graph([branch, helper.make_node("Abs", ["v0"], ["a"])])) == {"Neg": 2, "Abs": 1, "If": 1}
