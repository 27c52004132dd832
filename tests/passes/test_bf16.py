"""bfloat16: refused where nothing computes it, and right where something does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from pass_runs import PLAIN_X86, applied, dataset, fresh, outputs_of, run_pass
from quantization_models import FLOAT, branching, cosine, encoder, random, write

from mlopt.core.target import Objective, Target
from mlopt.formats.onnx.file import open_onnx
from mlopt.passes.base import Context, PassResult, Refusal
from mlopt.passes.bf16 import PASS, Bf16Config

ENCODER = {"ids": np.random.default_rng(0).integers(0, 50, (4, 6)), "offset": random(4, 6, 16)}
CUDA = Target(device="cuda")


def reason(result: PassResult | Refusal) -> str:
    assert isinstance(result, Refusal), result
    return result.reason


def on_this_cpu(model: Path, tmp_path: Path, data: dict[str, np.ndarray]) -> PassResult | Refusal:
    """Run without asking first, as if this CPU computed bfloat16: what it has kernels for is converted."""
    context = Context(fresh(tmp_path, "out"), Target(threads=2), Objective.SIZE, PLAIN_X86, dataset(data, tmp_path))
    return PASS.run(open_onnx(model), Bf16Config(), context)


def test_a_cpu_is_refused_for_want_of_kernels(tmp_path: Path) -> None:
    said = reason(run_pass(PASS, encoder(tmp_path / "m.onnx"), {}, tmp_path, samples=ENCODER, objective=Objective.SIZE))
    assert said == (
        "onnxruntime computes no bfloat16 on a CPU (Could not find an implementation for MatMul(13)); device cuda does"
    )


def test_refusals_on_a_gpu(tmp_path: Path) -> None:
    assert "without samples" in reason(run_pass(PASS, encoder(tmp_path / "m.onnx"), {}, tmp_path, target=CUDA))
    image = {"x": random(2, 3, 4, 4)}
    inside = run_pass(PASS, branching(tmp_path / "b.onnx"), {}, tmp_path, samples=image, target=CUDA)
    assert "inside If" in reason(inside)
    nodes = [helper.make_node("Cast", ["x"], ["h"], to=10), helper.make_node("Cast", ["h"], ["y"], to=1)]
    ports = [("x", FLOAT, [1])], [("y", FLOAT, [1])]
    mixed = write(tmp_path / "h.onnx", nodes, {}, *ports)
    onnx.save(onnx.shape_inference.infer_shapes(onnx.load(mixed)), mixed)
    assert reason(run_pass(PASS, mixed, {}, tmp_path, target=CUDA)) == "the model is partly FP16 already"


def test_only_what_has_a_kernel_is_converted(tmp_path: Path) -> None:
    model = encoder(tmp_path / "m.onnx")
    result = applied(on_this_cpu(model, tmp_path, ENCODER))
    kept = result.notes["kept_fp32"]
    assert kept["up"] == "onnxruntime has no bfloat16 kernel for MatMul on device cpu"
    assert (result.notes["converted"], "embed" in kept) == (1, False)
    types = {tensor.name: tensor.data_type for tensor in onnx.load(result.path).graph.initializer}
    assert (types["table"], types["w1"]) == (TensorProto.BFLOAT16, TensorProto.FLOAT)
    for name, want in outputs_of(model, ENCODER).items():
        assert cosine(outputs_of(result.path, ENCODER)[name], want) > 0.9999


def test_a_model_of_which_nothing_has_a_kernel_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")]
    model = write(tmp_path / "m.onnx", nodes, {"w": random(4, 4)}, [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])])
    assert reason(on_this_cpu(model, tmp_path, {"x": random(6, 4)})) == (
        "all 1 nodes must stay in FP32, such as 'product': "
        "onnxruntime has no bfloat16 kernel for MatMul on device cpu"
    )  # fmt: skip


@pytest.mark.gpu
@pytest.mark.skipif("CUDAExecutionProvider" not in onnxruntime.get_available_providers(), reason="no CUDA GPU")
def test_values_beyond_fp16_are_right_on_a_gpu(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="product"),
        helper.make_node("Mul", ["a", "large"], ["b"], name="grow"),
        helper.make_node("Div", ["b", "large"], ["y"], name="undo"),
    ]
    weights = {"w": random(4, 4), "large": np.float32(1e6).reshape(())}
    model = write(tmp_path / "m.onnx", nodes, weights, [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])])
    data = {"x": random(6, 4)}
    result = applied(run_pass(PASS, model, {}, tmp_path, samples=data, target=CUDA))
    assert result.notes["kept_fp32"] == {}
