"""Per-operator times: of the graph that really runs, without warm-up, and nothing counted twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from deployables import in_runtime
from onnx import NodeProto, TensorProto, helper, numpy_helper

from mlopt.core.errors import MeasureError, MloptError
from mlopt.data.dataset import Dataset, Samples, store
from mlopt.formats.model import TORCH, Model
from mlopt.formats.onnx.file import open_onnx
from mlopt.measure.candidate import Candidate
from mlopt.measure.operators import by_type, profile
from mlopt.results.timing import NodeTime

pytestmark = pytest.mark.process

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    values = np.random.default_rng(0).standard_normal((6, 3, 32, 32)).astype(np.float32)
    return store(Samples({"x": values}), tmp_path_factory.mktemp("images"), "random")


def saved(path: Path, nodes: list[NodeProto], weights: dict[str, Any]) -> Model:
    graph = helper.make_graph(
        nodes, "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 32, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return open_onnx(path)


def convolutions() -> tuple[list[NodeProto], dict[str, Any]]:
    random = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], pads=[1] * 4, name="first"),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("Conv", ["b", "w2"], ["c"], pads=[1] * 4, name="second"),
        helper.make_node("Relu", ["c"], ["d"], name="relu_too"),
    ]
    weights = {"w1": (16, 3, 3, 3), "w2": (16, 16, 3, 3)}
    return nodes, {name: random.standard_normal(shape).astype(np.float32) for name, shape in weights.items()}


def timed(model: Model, images: Dataset, folder: Path, level: str) -> list[NodeTime]:
    return profile(
        Candidate("net", in_runtime(model, graph_optimization=level), batch_size=2), images, 0.05, folder / "log"
    )


def test_a_graph_is_timed_as_it_is_written(tmp_path: Path, images: Dataset) -> None:
    nodes, weights = convolutions()
    model = saved(tmp_path / "net.onnx", [*nodes, helper.make_node("Exp", ["d"], ["y"], name="exp")], weights)
    found = timed(model, images, tmp_path, "none")
    assert [(node.name, node.op_type) for node in found] == [
        ("first", "Conv"), ("relu", "Relu"), ("second", "Conv"), ("relu_too", "Relu"), ("exp", "Exp"),
    ]  # fmt: skip
    assert all(0 < node.ms < 100 for node in found)


def test_a_graph_is_timed_as_it_is_fused_and_laid_out(tmp_path: Path, images: Dataset) -> None:
    nodes, weights = convolutions()
    model = saved(tmp_path / "net.onnx", [*nodes, helper.make_node("Exp", ["d"], ["y"], name="exp")], weights)
    fused = {each.op_type: each for each in by_type(timed(model, images, tmp_path, "extended"))}
    assert "Relu" not in fused
    assert sum(each.nodes for name, each in fused.items() if "Conv" in name) == 2
    laid_out = {each.op_type: each for each in by_type(timed(model, images, tmp_path, "all"))}
    assert "ReorderOutput" in laid_out
    assert laid_out["Exp"].nodes == 1


def test_a_node_with_a_body_counts_without_it(tmp_path: Path, images: Dataset) -> None:
    nodes, weights = convolutions()
    inside = [helper.make_node("Exp", ["d"], ["e"], name="exp"), helper.make_node("Sqrt", ["e"], ["s"], name="sqrt")]
    body = helper.make_graph(inside, "then", [], [helper.make_tensor_value_info("s", TensorProto.FLOAT, None)])
    other = helper.make_graph(
        [helper.make_node("Neg", ["d"], ["n"], name="neg")], "else", [],
        [helper.make_tensor_value_info("n", TensorProto.FLOAT, None)],
    )  # fmt: skip
    branch = [
        helper.make_node("ReduceMean", ["d"], ["m"], keepdims=0, name="mean"),
        helper.make_node("Greater", ["m", "low"], ["sure"], name="greater"),
        helper.make_node("If", ["sure"], ["y"], then_branch=body, else_branch=other, name="if"),
    ]
    model = saved(tmp_path / "net.onnx", [*nodes, *branch], weights | {"low": np.float32(-1)})
    found = {node.name: node for node in timed(model, images, tmp_path, "none")}
    assert {"exp", "sqrt", "if"} <= set(found)
    assert "neg" not in found
    assert 0 <= found["if"].ms < found["exp"].ms + found["sqrt"].ms


def test_types_are_added_up_the_most_time_first() -> None:
    nodes = [NodeTime("a", "Relu", 1.0), NodeTime("b", "Conv", 2.0), NodeTime("c", "Relu", 0.5)]
    assert [(each.op_type, each.nodes, each.ms) for each in by_type(nodes)] == [("Conv", 1, 2.0), ("Relu", 2, 1.5)]


def test_a_runtime_without_a_profile_says_so_by_name(tmp_path: Path, images: Dataset) -> None:
    module = Model(kind=TORCH, path=tmp_path, digest="0" * 64, inputs=(), outputs=(), files=())
    with pytest.raises(MeasureError, match="the runtime torch has no profile per operator"):
        profile(Candidate("eager", in_runtime(module)), images, 0.05, tmp_path / "log")


def test_a_model_that_cannot_run_says_why(tmp_path: Path, images: Dataset) -> None:
    nodes, weights = convolutions()
    nodes.append(helper.make_node("Reshape", ["d", "shape"], ["y"], name="reshape"))
    model = saved(tmp_path / "net.onnx", nodes, weights | {"shape": np.array([7, 7], np.int64)})
    with pytest.raises(MloptError, match=r"[Rr]eshape") as caught:
        timed(model, images, tmp_path, "none")
    assert isinstance(caught.value, MeasureError)
