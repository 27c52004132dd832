"""Nodes in an order in which each comes after what it reads."""

from __future__ import annotations

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from mlopt.core.errors import ModelError
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


def test_a_circle_is_an_error() -> None:
    with pytest.raises(ModelError, match="circle"):
        sort_nodes(graph([helper.make_node("Neg", ["b"], ["a"]), helper.make_node("Neg", ["a"], ["b"])]))


def test_a_subgraph_is_sorted_in_its_turn() -> None:
    nodes = [helper.make_node("Neg", ["a"], ["b"]), helper.make_node("Abs", ["v0"], ["a"])]
    branch = helper.make_node("If", ["v0"], ["y"], then_branch=helper.make_graph(nodes, "body", [], []))
    outer = graph([branch])
    assert sort_nodes(outer) is True
    assert [node.op_type for node in outer.node[0].attribute[0].g.node] == ["Abs", "Neg"]


def test_an_input_that_is_left_out_is_nobodys_output() -> None:
    nodes = [helper.make_node("Clip", ["v0", "", "m"], ["a", ""]), helper.make_node("Dropout", ["v0"], ["m", ""])]
    unsorted = graph(nodes)
    assert sort_nodes(unsorted) is True
    assert [node.op_type for node in unsorted.node] == ["Dropout", "Clip"]
