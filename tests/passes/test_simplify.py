from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from pass_runs import applied, outputs_of, run_pass

from mlopt.core.errors import PassError
from mlopt.formats.onnx import graph as onnx_graph
from mlopt.formats.onnx import save as onnx_save
from mlopt.formats.onnx.file import open_onnx
from mlopt.formats.onnx.graph import operators
from mlopt.passes import simplify
from mlopt.passes.simplify import PASS

FEEDS = {"x": np.arange(6, dtype=np.float32).reshape(2, 3)}


def save(
    tmp_path: Path,
    nodes: list[onnx.NodeProto],
    weights: dict[str, np.ndarray] | None = None,
    *,
    weights_as_inputs: bool = False,
) -> Path:
    """A model from x: float32[batch, 3] to y."""
    arrays = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])]
    if weights_as_inputs:
        inputs += [helper.make_tensor_value_info(a.name, a.data_type, list(a.dims)) for a in arrays]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])
    graph = helper.make_graph(nodes, "g", inputs, [output], arrays)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=3 if weights_as_inputs else 8
    )
    path = tmp_path / "source.onnx"
    onnx.save(model, path)
    return path


def constants(tmp_path: Path, *, weights_as_inputs: bool = False) -> Path:
    """y = x + (a + b), where a and b are weights."""
    nodes = [helper.make_node("Add", ["a", "b"], ["ab"]), helper.make_node("Add", ["x", "ab"], ["y"])]
    weights = {"a": np.ones(3, np.float32), "b": np.full(3, 2, np.float32)}
    return save(tmp_path, nodes, weights, weights_as_inputs=weights_as_inputs)


def test_constants_are_folded_and_the_notes_say_so(tmp_path: Path) -> None:
    source = constants(tmp_path)
    result = applied(run_pass(PASS, source, {}, tmp_path))
    assert result.notes == {"nodes": [2, 1], "changed": {"Add": [2, 1]}, "weights_no_longer_inputs": 0}
    assert open_onnx(result.path).inputs == open_onnx(source).inputs
    np.testing.assert_array_equal(outputs_of(result.path, FEEDS)["y"], FEEDS["x"] + 3)


def test_weights_that_old_models_list_as_inputs_are_folded_too(tmp_path: Path) -> None:
    result = applied(run_pass(PASS, constants(tmp_path, weights_as_inputs=True), {}, tmp_path))
    assert result.notes["weights_no_longer_inputs"] == 2
    assert result.notes["nodes"] == [2, 1]
    assert [value.name for value in onnx.load(result.path).graph.input] == ["x"]
    np.testing.assert_array_equal(outputs_of(result.path, FEEDS)["y"], FEEDS["x"] + 3)


def test_nodes_out_of_order_are_sorted_first(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["c"], ["y"]),
        helper.make_node("Add", ["x", "x"], ["b"]),
        helper.make_node("Neg", ["b"], ["c"]),
    ]
    result = applied(run_pass(PASS, save(tmp_path, nodes), {}, tmp_path))
    assert [node.op_type for node in onnx.load(result.path).graph.node] == ["Add", "Neg", "Relu"]
    np.testing.assert_array_equal(outputs_of(result.path, {"x": -FEEDS["x"]})["y"], FEEDS["x"] * 2)
    assert [file.name for file in result.path.parent.iterdir()] == ["model.onnx"]


def test_external_data_is_found_and_kept_valid(tmp_path: Path) -> None:
    weight = np.random.default_rng(0).random((3, 3), np.float32)
    nodes = [helper.make_node("Relu", ["h"], ["y"]), helper.make_node("MatMul", ["x", "w"], ["h"])]
    source = save(tmp_path, nodes, {"w": weight})
    onnx.save(onnx.load(source), source, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (tmp_path / "weights.bin").stat().st_size == weight.nbytes
    result = applied(run_pass(PASS, source, {}, tmp_path))
    np.testing.assert_allclose(outputs_of(result.path, FEEDS)["y"], FEEDS["x"] @ weight, rtol=1e-6)


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    source = constants(tmp_path)
    first, second = (applied(run_pass(PASS, source, {}, tmp_path)).path for _ in range(2))
    assert first != second
    assert first.read_bytes() == second.read_bytes()


def test_an_invalid_graph_is_one_clear_error(tmp_path: Path) -> None:
    source = save(tmp_path, [helper.make_node("Add", ["x", "nowhere"], ["y"])])
    with pytest.raises(PassError, match="onnxsim cannot simplify the model") as caught:
        run_pass(PASS, source, {}, tmp_path)
    assert "nowhere" in str(caught.value)


def test_batched_products_are_not_wrapped_in_reshapes(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Unsqueeze", ["x", "axis"], ["x3"]),
        helper.make_node("MatMul", ["x3", "w"], ["h"]),
        helper.make_node("Add", ["h", "bias"], ["y3"]),
        helper.make_node("ReduceSum", ["y3", "axis"], ["y"], keepdims=0),
    ]
    weights = {"axis": np.array([0], np.int64), "w": np.eye(3, dtype=np.float32), "bias": np.ones(3, np.float32)}
    result = applied(run_pass(PASS, save(tmp_path, nodes, weights), {}, tmp_path))
    found = operators(onnx.load(result.path).graph)
    assert {"MatMul", "Add"} <= found.keys()
    assert not {"Gemm", "Reshape"} & found.keys()
    np.testing.assert_array_equal(outputs_of(result.path, FEEDS)["y"], FEEDS["x"] + 1)


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["squeezenet", "shufflenet", "resnet50"])
def test_classic_networks_keep_their_results(tmp_path: Path, name: str) -> None:
    source = Path(onnx.__file__).parent / f"backend/test/data/light/light_{name}.onnx"
    result = applied(run_pass(PASS, source, {}, tmp_path))
    (spec,) = open_onnx(result.path).inputs
    feeds = {spec.name: np.random.default_rng(0).random(spec.shape, np.float32)}
    expected, got = outputs_of(source, feeds), outputs_of(result.path, feeds)
    for output, array in expected.items():
        np.testing.assert_allclose(got[output], array, rtol=1e-4, atol=1e-6)
    assert "ConstantOfShape" not in operators(onnx.load(result.path).graph)


def test_large_weights_pass_by_and_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_graph, "EXTERNAL_DATA_ABOVE", 0)
    monkeypatch.setattr(simplify, "_LARGE", 1)
    monkeypatch.setattr(onnx_save, "_SMALLEST", 1)
    nodes = [
        *[helper.make_node("MatMul", ["x", weight], [weight.upper()]) for weight in ("q", "k", "v")],
        helper.make_node("Sum", ["Q", "K", "V"], ["s"]),
        helper.make_node("Transpose", ["turned"], ["straight"], perm=[1, 0]),
        helper.make_node("MatMul", ["s", "straight"], ["t"]),
        helper.make_node("MatMul", ["t", "unread"], ["nothing"]),
        helper.make_node("MatMul", ["t", "q"], ["y"]),
    ]
    rng = np.random.default_rng(0)
    weights = {name: rng.random((3, 3), np.float32) for name in ("q", "k", "v", "turned", "unread")}
    source = save(tmp_path, nodes, weights)
    folder = tmp_path / "external"
    folder.mkdir()
    onnx.save(onnx.load(source), folder / "m.onnx", save_as_external_data=True, location="data", size_threshold=0)
    result = applied(run_pass(PASS, folder / "m.onnx", {}, tmp_path))
    proto = onnx.load(result.path)
    assert operators(proto.graph) == {"MatMul": 5, "Sum": 1}  # folded, dropped, and nothing left to every inference
    assert [value.name for value in proto.graph.input] == ["x"]
    assert "unread" not in {tensor.name for tensor in proto.graph.initializer}
    assert {"q", "k", "v"} <= {tensor.name for tensor in proto.graph.initializer}
    np.testing.assert_allclose(outputs_of(result.path, FEEDS)["y"], outputs_of(source, FEEDS)["y"], rtol=1e-5)
    assert [file.name for file in open_onnx(result.path).files] == ["model.onnx", "model.onnx.data"]


def test_what_is_folded_in_a_model_of_ir_version_3_need_be_no_input(tmp_path: Path) -> None:
    source = Path(onnx.__file__).parent / "backend/test/data/pytorch-operator/test_operator_repeat/model.onnx"
    assert onnx.load(source).ir_version == 3
    result = applied(run_pass(PASS, source, {}, tmp_path))
    (spec,) = open_onnx(source).inputs
    feeds = {spec.name: np.random.default_rng(0).random(spec.shape, np.float32)}
    expected, got = outputs_of(source, feeds), outputs_of(result.path, feeds)
    np.testing.assert_array_equal([*got.values()], [*expected.values()])


def test_where_rewriting_fails_constants_are_still_folded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of an If whose bodies read what a rewrite took for equal to something else."""
    real = simplify._import_onnxsim().simplify

    def broken(*args: Any, perform_optimization: bool = True, **options: Any) -> Any:
        if perform_optimization:
            raise RuntimeError("Nodes in a graph must be topologically sorted")
        return real(*args, perform_optimization=False, **options)

    monkeypatch.setattr(simplify._import_onnxsim(), "simplify", broken)
    result = applied(run_pass(PASS, constants(tmp_path), {}, tmp_path))
    assert result.notes["nodes"] == [2, 1]
    assert result.notes["remark"].startswith("constants and shapes were folded, but operators not rewritten: Nodes in")
    np.testing.assert_array_equal(outputs_of(result.path, FEEDS)["y"], FEEDS["x"] + 3)


NESTED = """<ir_version: 8, opset_import: ["" : 17]>
g (float[batch, 3] x) => (float[batch, 3] y) {
    sum = ReduceSum <keepdims = 0> (x)
    zero = Constant <value = float {0.0}> ()
    positive = Greater (sum, zero)
    y = If (positive) <
        then_branch = then () => (float[batch, 3] a) {
            shape = Shape (x)
            rank = Size (shape)
            two = Constant <value = int64 {2}> ()
            flat = Equal (rank, two)
            a = If (flat) <
                then_branch = flat_one () => (float[batch, 3] b) { b = Neg (x) },
                else_branch = deep_one () => (float[batch, 3] c) { c = Abs (x) }
            >
        },
        else_branch = other () => (float[batch, 3] d) { d = Add (x, x) }
    >
}"""
"""Whether a tensor has two dimensions is asked in a body, and known; whether a sum is positive is not."""


def nested(tmp_path: Path) -> Path:
    path = tmp_path / "nested.onnx"
    onnx.save(onnx.parser.parse_model(NESTED), path)
    return path


def test_what_is_known_inside_a_body_is_folded_there(tmp_path: Path) -> None:
    source = nested(tmp_path)
    result = applied(run_pass(PASS, source, {}, tmp_path))
    found = operators(onnx.load(result.path).graph)
    assert found["If"] == 1
    assert not {"Shape", "Size", "Equal", "Abs"} & set(found)
    for x in (FEEDS["x"], -FEEDS["x"]):
        np.testing.assert_array_equal(outputs_of(result.path, {"x": x})["y"], outputs_of(source, {"x": x})["y"])


def test_where_bodies_cannot_be_folded_the_rest_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("no such thing")

    monkeypatch.setattr(simplify, "fold", refuse)
    source = nested(tmp_path)
    result = applied(run_pass(PASS, source, {}, tmp_path))
    assert result.notes["remark"] == "bodies of If, Loop and Scan were left as they are: no such thing"
    assert operators(onnx.load(result.path).graph)["If"] == 2
    np.testing.assert_array_equal(outputs_of(result.path, FEEDS)["y"], outputs_of(source, FEEDS)["y"])
