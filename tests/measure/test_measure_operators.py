"""Per-operator times: of the graph that really runs, without warm-up, and nothing counted twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from deployables import in_runtime
from onnx import NodeProto, TensorProto, helper, numpy_helper
from openvino_models import in_openvino, needed

from mlopt.core.errors import MeasureError, MloptError
from mlopt.data.dataset import Dataset, Samples, store
from mlopt.formats.model import TORCH, Model
from mlopt.formats.onnx.file import open_onnx
from mlopt.measure.candidate import Candidate
from mlopt.measure.operators import by_precision, by_type, layers, profile, profiles
from mlopt.results.timing import Layer, NodeTime

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


def layer(precision: str) -> Layer:
    return Layer("conv", "Convolution", precision, kernel="", made_of=())


def test_precisions_are_counted_and_have_their_share_of_the_time() -> None:
    found = [layer("f32"), layer("f32"), layer("u8"), layer("i32")]
    nodes = [NodeTime("a", "Conv", 3.0, "u8"), NodeTime("b", "Relu", 0.5, "f32"), NodeTime("c", "Add", 0.5, "f32")]
    assert [(one.precision, one.layers, one.share) for one in by_precision(found, nodes)] == [
        ("u8", 1, 0.75), ("f32", 2, 0.25), ("i32", 1, 0.0),
    ]  # fmt: skip


@pytest.mark.parametrize("nodes", [[], [NodeTime("a", "Conv", 3.0)], [NodeTime("a", "Conv", 0.0, "f32")]])
def test_without_times_by_precision_there_is_no_share(nodes: list[NodeTime]) -> None:
    assert [(one.layers, one.share) for one in by_precision([layer("u8"), layer("f32"), layer("f32")], nodes)] == [
        (2, None), (1, None),
    ]  # fmt: skip


def test_a_runtime_that_does_not_tell_its_layers_has_none(tmp_path: Path) -> None:
    module = Model(kind=TORCH, path=tmp_path, digest="0" * 64, inputs=(), outputs=(), files=())
    assert layers(Candidate("eager", in_runtime(module)), tmp_path / "log") == []
    assert not (tmp_path / "log").exists(), "no process is started for that"


def test_layers_are_asked_for_only_where_times_have_a_precision(tmp_path: Path, images: Dataset) -> None:
    nodes, weights = convolutions()
    model = saved(tmp_path / "net.onnx", [*nodes, helper.make_node("Exp", ["d"], ["y"], name="exp")], weights)
    candidate = Candidate("ort", in_runtime(model))
    assert layers(candidate, tmp_path / "log")
    found = profiles([candidate], images, tmp_path, lambda *_: None)
    assert found.operators["ort"]
    assert (found.layers, found.notes) == ({}, ())
    assert not list(tmp_path.glob("layers-*")), "no process is started for that"


@needed
def test_what_runs_in_which_precision_is_asked_of_the_runtime(tmp_path: Path, images: Dataset) -> None:
    nodes, weights = convolutions()
    model = saved(tmp_path / "net.onnx", [*nodes, helper.make_node("Exp", ["d"], ["y"], name="exp")], weights)
    candidates = [Candidate("ort", in_runtime(model)), Candidate("ov", in_openvino(model))]
    found = profiles(candidates, images, tmp_path, lambda *_: None)
    assert found.notes == ()
    assert set(found.operators) == {"ort", "ov"}
    assert set(found.layers) == {"ov"}
    (ran,) = found.layers["ov"]
    assert (ran.precision, ran.share) == ("f32", pytest.approx(1))
    assert ran.layers >= 2
