"""Models that tools get wrong without a word: each ends in what the source computes, or in one clear error."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_graphs import BRIEFLY

import mlopt
from mlopt.cli.app import run

Array = np.ndarray[Any, Any]
BOTH = "passes=[simplify, fuse]"
"""Both steps are required here: a step that fails would fail the test."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def optimized(source: str, *overrides: str, **more: Any) -> Callable[..., dict[str, Array]]:
    """Optimize, and return what runs the result: in ONNX Runtime alone, with none of its own rewriting."""
    artifact = mlopt.optimize(source, overrides=[*BRIEFLY, *overrides], sign=False, **more)
    assert {gate.verdict for gate in artifact.report.gates if gate.metric.startswith("fidelity")} == {"pass"}
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(artifact.path / "model.onnx", options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return lambda **feeds: dict(zip(names, session.run(None, feeds), strict=True))


def write_recipe(code: str, inputs: str, outputs: str) -> None:
    """Write a recipe that exports the model of ``code``, and nothing else."""
    Path("net.py").write_text("import torch\n\n\n" + textwrap.dedent(code))
    Path("net.yaml").write_text(
        f"apiVersion: mlopt/v1\nname: net\nmodel: {{source: './net.py:build', inputs: {inputs}, outputs: {outputs}}}\n"
        "passes: [export]\ngates: [{metric: fidelity.max_abs, max: 1e-4}]\n"
    )


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


X = "{x: {dtype: float32, shape: [batch, 4]}}"


def test_output_names_that_are_taken_inside_the_graph() -> None:
    """The exporter writes such a file without a word, and ONNX Runtime refuses it: "Duplicate definition of name"."""
    write_recipe(
        """
        class Net(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.linear = torch.nn.Linear(4, 3)
                with torch.no_grad():
                    self.linear.weight.copy_(torch.arange(12.0).reshape(3, 4))
                    self.linear.bias.fill_(1.0)

            def forward(self, x):
                linear = self.linear(x)
                return torch.relu(linear), linear.sum(dim=1)

        def build():
            return Net()
        """,
        X, "[linear, relu]",
    )  # fmt: skip
    x = normal(5, 4)
    got = optimized("net.yaml", allow_code=True)(x=x)
    linear = x @ np.arange(12.0, dtype=np.float32).reshape(3, 4).T + 1
    np.testing.assert_allclose(got["linear"], np.maximum(linear, 0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(got["relu"], linear.sum(axis=1), rtol=1e-4, atol=1e-5)


BRANCH = """
class Net(torch.nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x * 2
        return x - 1

def build():
    return {returned}
"""


def test_a_branch_on_values_names_its_line(capfd: pytest.CaptureFixture[str]) -> None:
    write_recipe(BRANCH.format(returned="Net()"), X, "[y]")
    assert run(["optimize", "net.yaml", "--allow-code"]) == 2
    message = capfd.readouterr().err
    line = Path("net.py").read_text().splitlines().index("        if x.sum() > 0:") + 1
    assert f"error: {Path('net.py').resolve()}:{line}: the model branches on tensor values" in message
    assert "torch.jit.script(model)" in message
    assert "Traceback" not in message
    assert message.count("error:") == 1


def test_a_scripted_branch_on_values_keeps_both_sides() -> None:
    write_recipe(BRANCH.format(returned="torch.jit.script(Net())"), X, "[y]")
    model = optimized("net.yaml", allow_code=True)
    x = np.abs(normal(3, 4)) + 0.1
    np.testing.assert_allclose(model(x=x)["y"], x * 2, rtol=1e-6)
    np.testing.assert_allclose(model(x=-x)["y"], -x - 1, rtol=1e-6)


def test_an_operator_that_onnx_lacks_is_told_by_both_exporters(capfd: pytest.CaptureFixture[str]) -> None:
    write_recipe(
        """
        class Net(torch.nn.Module):
            def forward(self, x):
                return torch.linalg.svdvals(x)

        def build():
            return Net()
        """,
        X, "[y]",
    )  # fmt: skip
    assert run(["optimize", "net.yaml", "--allow-code"]) == 2
    message = capfd.readouterr().err
    line = Path("net.py").read_text().splitlines().index("        return torch.linalg.svdvals(x)") + 1
    for exporter in ("dynamo", "torchscript"):
        told = f"net.py:{line}: PyTorch cannot export the model: the {exporter} exporter failed"
        assert told in message
    assert "aten._linalg_svd" in message
    assert "aten::linalg_svdvals" in message
    assert "Traceback" not in message
    (log,) = Path("repro").glob("*/step.log")
    assert "aten._linalg_svd" in log.read_text()
    assert "aten::linalg_svdvals" in log.read_text()


def save(nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: dict[str, Array], **more: Any) -> str:
    """Write ``model.onnx`` with the named weights."""
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "trap", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], **{"ir_version": 10, **more})
    onnx.checker.check_model(model)
    onnx.save(model, "model.onnx")
    return "model.onnx"


def tensor(name: str, kind: int, *shape: int | str) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def test_two_inputs_two_outputs_and_one_that_passes_through() -> None:
    """No data: token ids are made up within reach of the table; both axes stay free."""
    weights = {"table": normal(50, 8), "w": normal(8, 3, seed=1)}
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["vectors"]),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["vectors", "column"], ["masked"]),
        helper.make_node("MatMul", ["masked", "w"], ["scores"]),
        helper.make_node("Identity", ["ids"], ["same_ids"]),
    ]
    source = save(
        nodes,
        [tensor("ids", TensorProto.INT64, "batch", "length"), tensor("mask", TensorProto.FLOAT, "batch", "length")],
        [tensor("scores", TensorProto.FLOAT, "batch", "length", 3),
         tensor("same_ids", TensorProto.INT64, "batch", "length")],
        {**weights, "last": np.array([-1])},
    )  # fmt: skip
    model = optimized(source, BOTH)
    for batch, length in ((1, 1), (3, 7)):
        ids = np.random.default_rng(batch).integers(0, 50, (batch, length))
        mask = normal(batch, length)
        got = model(ids=ids, mask=mask)
        expected = (weights["table"][ids] * mask[..., None]) @ weights["w"]
        np.testing.assert_allclose(got["scores"], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(got["same_ids"], ids)


def test_weights_that_are_also_inputs() -> None:
    """IR 3 listed every weight as an input; callers may leave them out, and so does whoever makes up samples."""
    weights = {"w": normal(4, 2), "b": normal(2, seed=1)}
    nodes = [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("Add", ["p", "b"], ["y"])]
    inputs = [tensor("x", TensorProto.FLOAT, "batch", 4)]
    inputs += [tensor(name, TensorProto.FLOAT, *array.shape) for name, array in weights.items()]
    source = save(nodes, inputs, [tensor("y", TensorProto.FLOAT, "batch", 2)], weights, ir_version=3)
    x = normal(6, 4)
    np.testing.assert_allclose(optimized(source, BOTH)(x=x)["y"], x @ weights["w"] + weights["b"], rtol=1e-4, atol=1e-5)


def test_an_input_that_is_the_output() -> None:
    """A graph without a single node is still a model."""
    value = tensor("x", TensorProto.FLOAT, "batch", 4)
    source = save([], [value], [value], {})
    x = normal(2, 4)
    np.testing.assert_array_equal(optimized(source, BOTH)(x=x)["x"], x)


def test_no_step_is_worth_keeping() -> None:
    """The source itself is shipped, and its own gates hold for it: it equals itself."""
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    source = save(nodes, [tensor("x", TensorProto.FLOAT, 1, 4)], [tensor("y", TensorProto.FLOAT, 1, 4)], {})
    before = Path(source).read_bytes()
    model = optimized(source, "passes=[]")
    assert Path("artifacts/model/model.onnx").read_bytes() == before
    x = normal(1, 4)
    np.testing.assert_array_equal(model(x=x)["y"], np.maximum(x, 0))


@pytest.mark.parametrize("location", ["model.onnx.data", "weights of mine/größe.bin"])
def test_weights_in_other_files_are_fused_and_axes_keep_their_names(location: str, folder: Path) -> None:
    """onnxsim calls the batch `unk__0`, and ONNX Runtime's optimizer leaves data that it did not touch where it was."""
    weights = {"w": normal(32, 64), "w2": normal(64, 16), "size": np.array([-1, 32])}
    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Reshape", ["x", "size"], ["x2"]), helper.make_node("MatMul", ["x2", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]), helper.make_node("MatMul", ["r", "w2"], ["y"]),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes, "g", [value("x", TensorProto.FLOAT, ["n", 32])], [value("y", TensorProto.FLOAT, ["n", 16])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )  # fmt: skip
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / location).parent.mkdir(exist_ok=True)
    onnx.save(proto, "model.onnx", save_as_external_data=True, location=location, size_threshold=0)
    np.savez("x.npz", x=normal(40, 32))
    x = normal(3, 32, seed=1)
    got = optimized("model.onnx", BOTH, data="x.npz", output="out")(x=x)
    np.testing.assert_allclose(got["y"], np.maximum(x @ weights["w"], 0) @ weights["w2"], rtol=1e-4, atol=1e-4)
    assert not (folder / "out" / location).exists()
    packed = onnx.load("out/model.onnx").graph
    assert [*packed.input, *packed.output] == [*graph.input, *graph.output]
