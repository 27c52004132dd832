"""What a graph can look up is what ONNX Runtime looks up in it: the last row is there, and the next is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deployables import in_runtime
from onnx import NodeProto, TensorProto, helper
from openvino_models import FLOAT, INT64, answers, graph, in_openvino

from mlopt.core.errors import ModelError
from mlopt.core.packages import version
from mlopt.formats.model import Model
from mlopt.formats.onnx.file import read_graph
from mlopt.formats.onnx.indices import longest_looked_up, rows_looked_up

ROWS = 7
TABLE = np.arange(ROWS * 2, dtype=np.float32).reshape(ROWS, 2)


def lookup(path: Path, *before: NodeProto, dtype: int = INT64, **held: Any) -> Model:
    """y = table[h], where ``before`` makes h of ``ids``."""
    nodes = [*before, helper.make_node("Gather", ["table", "h" if before else "ids"], ["y"])]
    return graph(path, nodes, {"ids": (dtype, ["b", "t"])}, {"y": FLOAT}, table=TABLE, **held)


CHAINS = {
    "at once": [],
    "in another form": [
        helper.make_node("Transpose", ["ids"], ["i"]), helper.make_node("Reshape", ["i", "flat"], ["j"]),
        helper.make_node("Cast", ["j"], ["h"], to=TensorProto.INT32),
    ],
}  # fmt: skip


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("dtype", [INT64, TensorProto.INT32])
def test_the_rows_are_those_that_onnxruntime_has(tmp_path: Path, chain: str, dtype: int) -> None:
    held = {"flat": np.array([-1])} if CHAINS[chain] else {}
    model = lookup(tmp_path / "m.onnx", *CHAINS[chain], dtype=dtype, **held)
    assert rows_looked_up(read_graph(model.path).graph) == {"ids": ROWS}
    for last, fine in ((ROWS - 1, True), (-ROWS, True), (ROWS, False), (-ROWS - 1, False)):
        feeds = {"ids": np.array([[0, last]], helper.tensor_dtype_to_np_dtype(dtype))}
        if fine:
            answers(in_runtime(model), feeds)
        else:
            with pytest.raises(ModelError):
                answers(in_runtime(model), feeds)


def test_the_smallest_of_several_tables_counts_and_the_axis_of_each(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["y"]),
        helper.make_node("Gather", ["w", "ids"], ["z"], axis=1),
    ]
    inputs, wide = {"ids": (INT64, ["b"])}, np.zeros((9, 3), np.float32)
    model = graph(tmp_path / "m.onnx", nodes, inputs, {"y": FLOAT, "z": FLOAT}, table=TABLE, w=wide)
    assert rows_looked_up(read_graph(model.path).graph) == {"ids": 3}


@pytest.mark.parametrize("operator", ["Abs", "Neg"])
def test_of_what_is_computed_of_an_input_nothing_is_said(tmp_path: Path, operator: str) -> None:
    model = lookup(tmp_path / "m.onnx", helper.make_node(operator, ["ids"], ["h"]))
    assert rows_looked_up(read_graph(model.path).graph) == {}


def test_what_no_output_needs_and_what_need_not_run_limits_nothing(tmp_path: Path) -> None:
    inner = helper.make_graph(
        [helper.make_node("Gather", ["table", "ids"], ["t"])],
        "then",
        [],
        [helper.make_tensor_value_info("t", FLOAT, None)],
    )
    other = helper.make_graph(
        [helper.make_node("Cast", ["ids"], ["e"], to=FLOAT)],
        "else",
        [],
        [helper.make_tensor_value_info("e", FLOAT, None)],
    )
    unused = helper.make_node("Gather", ["table", "ids"], ["unused"])
    branches = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=other)
    inputs = {"ids": (INT64, ["b"]), "c": (TensorProto.BOOL, [])}
    model = graph(tmp_path / "m.onnx", [branches], inputs, {"y": FLOAT}, table=TABLE)
    answers(in_runtime(model), {"ids": np.array([ROWS]), "c": np.array(False)})
    assert rows_looked_up(read_graph(model.path).graph) == {}
    model = graph(tmp_path / "m.onnx", [unused, branches], inputs, {"y": FLOAT}, table=TABLE)
    assert rows_looked_up(read_graph(model.path).graph) == {}


@pytest.mark.parametrize("start", [0, 1])
def test_positions_counted_along_an_axis_reach_as_far_as_onnxruntime_has_rows(tmp_path: Path, start: int) -> None:
    node = helper.make_node
    nodes = [
        node("Shape", ["ids"], ["s"]), node("Gather", ["s", "one"], ["n"]), node("Range", ["start", "n", "one"], ["r"]),
        node("Unsqueeze", ["r", "axes"], ["p"]), node("Gather", ["table", "p"], ["y"]),
    ]  # fmt: skip
    held = {"one": np.int64(1), "start": np.int64(start), "axes": np.array([0]), "table": TABLE}
    model = graph(tmp_path / "m.onnx", nodes, {"ids": (INT64, ["b", "t"])}, {"y": FLOAT}, **held)
    assert longest_looked_up(read_graph(model.path).graph) == ({} if start else {("ids", 1): ROWS})
    answers(in_runtime(model), {"ids": np.zeros((1, ROWS), np.int64)})
    with pytest.raises(ModelError):
        answers(in_runtime(model), {"ids": np.zeros((1, ROWS + 1), np.int64)})
    if version("openvino") is not None and not start:
        answers(in_openvino(model), {"ids": np.zeros((1, ROWS), np.int64)})
        with pytest.raises(ModelError, match="longer than the table of its positions"):
            answers(in_openvino(model), {"ids": np.zeros((1, ROWS + 1), np.int64)})
