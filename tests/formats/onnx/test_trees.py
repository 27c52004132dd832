"""Trees and what else keeps its weights in attributes: counted, and never a model of nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from mlopt.formats.model import TensorSpec
from mlopt.formats.onnx.macs import UnknownError, count_macs
from mlopt.formats.onnx.trees import Trees, learnt, trees_in


def model(op_type: str, rows: int = 3, **attributes: Any) -> onnx.ModelProto:
    """One node of ``ai.onnx.ml`` over 4 columns."""
    node = helper.make_node(op_type, ["x"], ["y"], "it", domain="ai.onnx.ml", **attributes)
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)])


def grown(depths: list[int]) -> dict[str, Any]:
    """Trees that are one long branch each: at every level a leaf, and a node that goes on."""
    rows = [
        (tree, number, b"LEAF" if leaf else b"BRANCH_LEQ", number + 1, number + 2)
        for tree, depth in enumerate(depths) for number, leaf in _branch(depth)
    ]  # fmt: skip
    trees, numbers, modes, left, right = (list(column) for column in zip(*rows, strict=True))
    return {
        "nodes_treeids": trees, "nodes_nodeids": numbers, "nodes_modes": modes, "nodes_truenodeids": left,
        "nodes_falsenodeids": right, "nodes_values": [0.5] * len(rows), "target_weights": [1.0] * len(depths),
    }  # fmt: skip


def _branch(depth: int) -> list[tuple[int, bool]]:
    return [(number, number % 2 == 1 or number == 2 * depth) for number in range(2 * depth + 1)]


@given(st.lists(st.integers(0, 6), min_size=1, max_size=5))
def test_trees_are_counted_and_so_are_the_comparisons_of_the_longest_ways(depths: list[int]) -> None:
    found = trees_in(model("TreeEnsembleRegressor", **grown(depths)).graph)
    assert found == Trees(len(depths), sum(2 * depth + 1 for depth in depths), sum(depths))


def test_a_tree_that_bites_its_tail_ends() -> None:
    wrong = grown([3]) | {"nodes_falsenodeids": [0] * 7}
    found = trees_in(model("TreeEnsembleRegressor", **wrong).graph)
    assert found is not None
    assert found.comparisons <= found.nodes


def test_a_graph_without_trees_has_none() -> None:
    assert trees_in(model("Scaler", offset=[0.0], scale=[1.0]).graph) is None


def test_what_was_learnt_is_in_attributes() -> None:
    assert sum(count for _, count in learnt(model("TreeEnsembleRegressor", **grown([1, 2])).graph)) == 3 + 5 + 2
    tensor = onnx.numpy_helper.from_array(np.zeros((2, 3)), "t")
    found = dict(learnt(model("TreeEnsembleRegressor", nodes_values_as_tensor=tensor, domain_name="no").graph))
    assert found == {"float64": 6}


@pytest.mark.parametrize(("node", "macs"), [
    (("TreeEnsembleRegressor", grown([2])), 0), (("Scaler", {"offset": [0.0], "scale": [1.0]}), 0),
    (("LinearRegressor", {"coefficients": [1.0] * 8, "intercepts": [0.0, 0.0]}), 3 * 8),
    (("SVMRegressor", {"support_vectors": [1.0] * 20, "coefficients": [1.0] * 5}), 3 * 20),
])  # fmt: skip
def test_multiplications_are_those_of_all_rows(node: tuple[str, dict[str, Any]], macs: int) -> None:
    assert count_macs(model(node[0], **node[1]), (TensorSpec("x", "float32", (3, 4)),), {"x": (3, 4)}) == macs


def test_an_operator_of_unknown_cost_is_not_taken_for_free() -> None:
    with pytest.raises(UnknownError, match="cost of node 'it'"):
        count_macs(model("Anything"), (TensorSpec("x", "float32", (3, 4)),), {"x": (3, 4)})
