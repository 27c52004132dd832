"""What OpenVINO would answer wrongly is refused: ids that no table has, integers that do not fit inside the graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from deployables import in_runtime
from onnx import TensorProto, helper
from openvino_models import FLOAT, INT64, agree, answers, graph, in_openvino, needed

from mlopt.core.errors import ModelError
from mlopt.runtimes.table import open_session


@needed
def test_ids_that_no_table_has_are_an_error_as_in_onnxruntime(tmp_path: Path) -> None:
    model = graph(
        tmp_path / "m.onnx", [helper.make_node("Gather", ["table", "ids"], ["y"])], {"ids": (INT64, ["b", "t"])},
        {"y": FLOAT}, table=np.ones((7, 2), np.float32),
    )  # fmt: skip
    for ids in ([[6, -7]], np.zeros((2, 0), np.int64)):
        agree(model, {"ids": np.array(ids)})
    for wrong in (7, -8, 2**31):
        feeds = {"ids": np.array([[0, wrong]])}
        for deployable in (in_runtime(model), in_openvino(model)):
            with pytest.raises(ModelError):
                answers(deployable, feeds)


_DTYPES = (INT64, TensorProto.INT32)
_OPERATORS = ("Add", "Sub", "Mul", "Div", "Mod", "Equal", "Less", "Greater", "ReduceSum", "ReduceMax", "ReduceMin")


@needed
@pytest.mark.parametrize("dtype", _DTYPES)
@pytest.mark.parametrize("operator", _OPERATORS)
def test_integers_inside_the_graph_are_right_or_refused(tmp_path: Path, operator: str, dtype: int) -> None:
    rng, kind = np.random.default_rng(0), helper.tensor_dtype_to_np_dtype(dtype)
    reduced = operator.startswith("Reduce")
    held = {"k": np.array([1], np.int64) if reduced else np.array([997], kind)}
    given = TensorProto.BOOL if operator in ("Equal", "Less", "Greater") else dtype
    node = helper.make_node(operator, ["x", "k"], ["y"])
    model = graph(tmp_path / "m.onnx", [node], {"x": (dtype, ["b", "n"])}, {"y": given}, **held)
    refused = []
    with open_session(in_runtime(model)) as right, open_session(in_openvino(model)) as session:
        for bits in range(6, 31):
            feeds = {"x": rng.integers(2 ** (bits - 1), 2**bits, (200, 1 if reduced else 3)).astype(kind)}
            expected = right.run(feeds)["y"]
            try:
                got = session.run(feeds)["y"]
            except ModelError:
                refused.append(bits)
                continue
            np.testing.assert_array_equal(got, expected)
    assert all(bits > 20 for bits in refused)


@needed
@pytest.mark.parametrize("factor", [31337, 2654435761])
def test_a_hash_of_ids_is_right_or_refused(tmp_path: Path, factor: int) -> None:
    nodes = [
        helper.make_node("Mul", ["ids", "factor"], ["product"]), helper.make_node("Mod", ["product", "rows"], ["row"]),
        helper.make_node("Gather", ["table", "row"], ["y"]),
    ]  # fmt: skip
    held = {"factor": np.int64(factor), "rows": np.int64(1009), "table": np.arange(1009, dtype=np.float32)}
    model = graph(tmp_path / "m.onnx", nodes, {"ids": (INT64, ["b"])}, {"y": FLOAT}, **held)
    if factor < 2**24:
        agree(model, {"ids": np.array([0, 5, 2**24 // factor])})
    beyond = {"ids": np.array([0, 2**24 // factor + 1])}
    answers(in_runtime(model), beyond)
    with pytest.raises(ModelError, match="integers of this size"):
        answers(in_openvino(model), beyond)
