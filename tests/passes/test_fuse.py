from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from pass_runs import applied, outputs_of, run_pass
from pydantic import ValidationError

from mlopt.core.errors import MissingPackage, ModelError
from mlopt.core.target import Target
from mlopt.formats.onnx import graph as onnx_graph
from mlopt.formats.onnx.file import open_onnx
from mlopt.passes.fuse import PASS

FEEDS = {"x": np.random.default_rng(0).random((2, 3, 8, 8), np.float32)}


@pytest.fixture
def conv_relu(tmp_path: Path) -> Path:
    """y = relu(conv(x)), x: float32[batch, 3, 8, 8]."""
    weight = np.random.default_rng(1).standard_normal((8, 3, 3, 3)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 8, 6, 6])],
        [numpy_helper.from_array(weight, "w")],
    )  # fmt: skip
    path = tmp_path / "source.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_a_convolution_and_its_activation_become_one(conv_relu: Path, tmp_path: Path) -> None:
    result = applied(run_pass(PASS, conv_relu, {}, tmp_path))
    assert result.notes["fusions"] == ["ConvActivationFusion"]
    assert result.notes["changed"] == {"Conv": [1, 0], "Relu": [1, 0], "com.microsoft::FusedConv": [0, 1]}
    assert result.notes["device_bound"] is False
    np.testing.assert_allclose(outputs_of(result.path, FEEDS)["y"], outputs_of(conv_relu, FEEDS)["y"], atol=1e-6)


def test_the_interface_stands_and_only_used_operator_sets_are_named(conv_relu: Path, tmp_path: Path) -> None:
    result = applied(run_pass(PASS, conv_relu, {}, tmp_path))
    before, after = open_onnx(conv_relu), open_onnx(result.path)
    assert (after.inputs, after.outputs) == (before.inputs, before.outputs)
    assert {entry.domain for entry in onnx.load(result.path).opset_import} == {"", "com.microsoft"}


def test_basic_keeps_to_standard_operators(conv_relu: Path, tmp_path: Path) -> None:
    result = applied(run_pass(PASS, conv_relu, {"level": "basic"}, tmp_path))
    assert {node.domain for node in onnx.load(result.path).graph.node} == {""}
    assert result.notes["fusions"] == []


def test_all_must_be_asked_for_twice_and_is_recorded(conv_relu: Path, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="add `this_machine: true`"):
        PASS.config(level="all")
    result = applied(run_pass(PASS, conv_relu, {"level": "all", "this_machine": True}, tmp_path))
    assert result.notes["device_bound"] is True
    np.testing.assert_allclose(outputs_of(result.path, FEEDS)["y"], outputs_of(conv_relu, FEEDS)["y"], atol=1e-5)


def test_weights_above_the_limit_go_to_an_external_file(
    conv_relu: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = tmp_path / "big.onnx"
    model = onnx.load(conv_relu)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones((64, 3, 3, 3), np.float32), "w"))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 64
    onnx.save(model, big)
    monkeypatch.setattr(onnx_graph, "EXTERNAL_DATA_ABOVE", 1000)
    result = applied(run_pass(PASS, big, {}, tmp_path))
    assert [file.name for file in open_onnx(result.path).files] == ["model.onnx", "model.onnx.data"]
    np.testing.assert_allclose(outputs_of(result.path, FEEDS)["y"], outputs_of(big, FEEDS)["y"], rtol=1e-5)


def test_the_same_model_gives_the_same_bytes(conv_relu: Path, tmp_path: Path) -> None:
    first, second = (applied(run_pass(PASS, conv_relu, {}, tmp_path)).path for _ in range(2))
    assert first.read_bytes() == second.read_bytes()


def test_standard_error_is_given_back_even_after_a_failure(
    tmp_path: Path, conv_relu: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    applied(run_pass(PASS, conv_relu, {}, tmp_path))
    model = onnx.load(conv_relu)
    model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(model, tmp_path / "broken.onnx")
    with pytest.raises(ModelError, match="NoSuchOperator"):
        run_pass(PASS, tmp_path / "broken.onnx", {}, tmp_path)
    os.write(2, b"still here")
    assert capfd.readouterr().err == "still here"


def test_a_gpu_that_is_not_there_is_never_replaced_by_the_cpu(conv_relu: Path, tmp_path: Path) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has ONNX Runtime's CUDA provider")
    with pytest.raises(MissingPackage, match="cannot use a CUDA GPU"):
        run_pass(PASS, conv_relu, {}, tmp_path, target=Target(device="cuda"))
