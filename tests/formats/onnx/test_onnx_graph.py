from __future__ import annotations

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from mlopt.core.errors import ModelError
from mlopt.formats.onnx.graph import node_names, operators
from mlopt.formats.onnx.order import sort_nodes


def graph(nodes: list[onnx.NodeProto]) -> onnx.GraphProto:
    return helper.make_graph(nodes, "g", [helper.make_tensor_value_info("v0", TensorProto.FLOAT, [1])], [])


@given(st.permutations(range(8)), st.lists(st.integers(0, 100), min_size=8, max_size=8))
def test_any_order_of_a_graph_is_sorted_and_nothing_is_lost(order: list[int], sources: list[int]) -> None:
    nodes = [helper.make_node("Neg", [f"v{sources[i] % (i + 1)}"], [f"v{i + 1}"]) for i in range(8)]
    shuffled = graph([nodes[i] for i in order])
    sort_nodes(shuffled)
    known = {"v0"}
    for node in shuffled.node:
        assert set(node.input) <= known
        known.update(node.output)
    assert len(known) == 9


def test_a_sorted_graph_is_left_as_it_is() -> None:
    nodes = [helper.make_node("Neg", ["v0"], ["b"]), helper.make_node("Abs", ["v0"], ["a"])]
    sorted_graph = graph(nodes)
    assert sort_nodes(sorted_graph) is False
    assert [node.op_type for node in sorted_graph.node] == ["Neg", "Abs"]


def test_what_a_subgraph_reads_from_outside_comes_first() -> None:
    body = helper.make_graph([helper.make_node("Neg", ["late"], ["out"])], "body", [], [])
    branch = helper.make_node("If", ["v0"], ["y"], then_branch=body, else_branch=body)
    outer = graph([branch, helper.make_node("Abs", ["v0"], ["late"])])
    assert sort_nodes(outer) is True
    assert [node.op_type for node in outer.node] == ["Abs", "If"]
    assert operators(outer) == {"Neg": 2, "Abs": 1, "If": 1}


def test_a_circle_is_an_error() -> None:
    with pytest.raises(ModelError, match="circle"):
        sort_nodes(graph([helper.make_node("Neg", ["b"], ["a"]), helper.make_node("Neg", ["a"], ["b"])]))


def test_every_node_has_a_name_of_its_own_and_keeps_one_that_it_has() -> None:
    names = ["", "Neg_2", "", "twice", "twice", ""]
    nodes = [helper.make_node("Neg", ["v0"], [f"v{place}"], name=name) for place, name in enumerate(names, 1)]
    assert node_names(graph(nodes)) == ["Neg_0", "Neg_2", "Neg_3", "twice", "twice_4", "Neg_5"]


def test_constants_do_not_change_the_names_of_others() -> None:
    constant = helper.make_node("Constant", [], ["k"], value_float=1.0)
    nodes = [helper.make_node("Neg", ["v0"], ["a"]), helper.make_node("Abs", ["a"], ["b"])]
    named = dict(zip(["Neg", "Constant", "Abs"], node_names(graph([nodes[0], constant, nodes[1]])), strict=True))
    assert [named["Neg"], named["Abs"]] == node_names(graph(nodes))
