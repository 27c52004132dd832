"""FP16: what stays in FP32 and why, and that nothing overflows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from pass_runs import PLAIN_X86, applied, outputs_of, run_pass
from quantization_models import FLOAT, branching, cnn, cosine, encoder, random, write

from mlopt.compress.half import convert as module
from mlopt.core.target import Objective, Target
from mlopt.formats.onnx.file import open_onnx
from mlopt.passes import quantize
from mlopt.passes.base import PassResult, Refusal
from mlopt.passes.fp16 import PASS

IMAGES = {"image": random(16, 3, 8, 8)}
X = {"x": random(6, 4)}
PORTS = [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])]


def convert(model: Path, tmp_path: Path, data: dict[str, np.ndarray], **config: object) -> PassResult:
    return applied(run_pass(PASS, model, config, tmp_path, samples=data, objective=Objective.SIZE))


def reason(result: PassResult | Refusal) -> str:
    assert isinstance(result, Refusal), result
    return result.reason


def test_a_small_cnn_fits_whole(tmp_path: Path) -> None:
    model = cnn(tmp_path / "m.onnx")
    result = convert(model, tmp_path, IMAGES)
    assert (result.notes["converted"], result.notes["nodes"], result.notes["kept_fp32"]) == (7, 7, {})
    proto = onnx.load(result.path)
    onnx.checker.check_model(proto, full_check=True)  # sorted, and types agree
    assert {tensor.data_type for tensor in proto.graph.initializer} == {TensorProto.FLOAT16}
    before, after = open_onnx(model), open_onnx(result.path)
    assert (after.inputs, after.outputs) == (before.inputs, before.outputs)
    np.testing.assert_allclose(
        outputs_of(result.path, IMAGES)["logits"], outputs_of(model, IMAGES)["logits"], rtol=0.02, atol=0.05
    )


def test_integer_inputs_and_two_outputs(tmp_path: Path) -> None:
    model = encoder(tmp_path / "m.onnx")
    data = {"ids": np.random.default_rng(0).integers(0, 50, (4, 6)), "offset": random(4, 6, 16)}
    result = convert(model, tmp_path, data)
    for name, want in outputs_of(model, data).items():
        assert cosine(outputs_of(result.path, data)[name], want) > 0.9999


def test_what_overflows_stays_in_fp32_all_the_way(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="plain"),
        helper.make_node("Mul", ["a", "large"], ["b"], name="grow"),
        helper.make_node("Neg", ["b"], ["c"], name="between"),
        helper.make_node("Div", ["c", "large"], ["d"], name="shrink"),
        helper.make_node("Tanh", ["d"], ["y"], name="last"),
    ]
    weights = {"w": random(4, 4), "large": np.float32(5e4).reshape(())}
    model = write(tmp_path / "m.onnx", nodes, weights, *PORTS)
    result = convert(model, tmp_path, X)
    assert set(result.notes["kept_fp32"]) == {"grow", "between", "shrink"}
    assert result.notes["kept_fp32"]["between"].startswith("'b' reaches ")
    assert result.notes["largest_observed"] > 65504
    np.testing.assert_allclose(outputs_of(result.path, X)["y"], outputs_of(model, X)["y"], atol=5e-3)


def test_large_negative_values_count_as_large(tmp_path: Path) -> None:
    nodes = [helper.make_node("Abs", ["x"], ["a"]), helper.make_node("Mul", ["a", "down"], ["y"], name="down")]
    model = write(tmp_path / "m.onnx", nodes, {"down": np.float32(-1e5).reshape(())}, *PORTS)
    assert list(convert(model, tmp_path, X).notes["kept_fp32"]) == ["down"]


def test_a_constant_beyond_fp16_is_not_clamped(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Clip", ["a", "low", "high"], ["y"], name="clip"),
    ]
    weights = {"w": random(4, 4), "low": np.float32(-3.4e38).reshape(()), "high": np.float32(1).reshape(())}
    result = convert(write(tmp_path / "m.onnx", nodes, weights, *PORTS), tmp_path, X)
    assert result.notes["kept_fp32"] == {"clip": "constant 'low' holds 3.4e+38"}
    values = [onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(result.path).graph.initializer]
    assert min(float(value.min()) for value in values) == np.float32(-3.4e38)


def test_what_is_not_finite_stays_in_fp32_and_the_notes_are_json(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Add", ["a", "mask"], ["m"], name="masking"),
        helper.make_node("Softmax", ["m"], ["y"], name="softmax"),
    ]
    mask = np.array([0, -np.inf, 0, 0], dtype=np.float32)
    model = write(tmp_path / "m.onnx", nodes, {"w": random(4, 4), "mask": mask}, *PORTS)
    result = convert(model, tmp_path, X)
    assert set(result.notes["kept_fp32"]) == {"masking", "softmax"}
    assert result.notes["tensors_not_finite"] == 1
    json.dumps(dict(result.notes), allow_nan=False)
    np.testing.assert_allclose(outputs_of(result.path, X)["y"], outputs_of(model, X)["y"], atol=5e-3)


def test_small_weights_are_counted(tmp_path: Path) -> None:
    weight = random(4, 4)
    weight[0, :3] = [1e-9, 1e-6, 0]
    model = write(tmp_path / "m.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": weight}, *PORTS)
    notes = convert(model, tmp_path, X).notes
    assert (notes["weights_rounded_to_smallest"], notes["weights_subnormal"]) == (1, 1)


def test_the_ceiling_and_the_exclusions_are_the_users(tmp_path: Path) -> None:
    model = cnn(tmp_path / "m.onnx")
    kept = convert(model, tmp_path, IMAGES, exclude=["head"]).notes["kept_fp32"]
    assert kept == {"head": "excluded by 'head'"}
    assert len(convert(model, tmp_path, IMAGES, ceiling=20.0).notes["kept_fp32"]) > 0


def test_moderately_large_values_go_back_to_fp16_where_they_do_no_harm(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Mul", ["x", "large"], ["a"], name="grow"),
        helper.make_node("Div", ["a", "large"], ["b"], name="undo"),
        helper.make_node("Add", ["b", "large"], ["c"], name="coarse"),
        helper.make_node("Sub", ["c", "large"], ["y"], name="rest"),
    ]
    model = write(tmp_path / "m.onnx", nodes, {"large": np.float32(4096).reshape(())}, *PORTS)
    notes = convert(model, tmp_path, X).notes
    assert set(notes["kept_fp32"]) == {"coarse", "rest"}  # at 4096, FP16 has steps of 4
    assert notes["kept_fp32"]["coarse"].startswith("too lossy in FP16: an output keeps at most ")
    assert (notes["converted"], notes["admitted_beyond_bound"], notes["rehearsals"]) == (2, 2, 5)
    assert notes["rehearsed_sqnr_db"] > 60
    assert not notes["time_up"]


def test_what_bfloat16_would_hold_is_told(tmp_path: Path) -> None:
    nodes = [helper.make_node("Mul", ["x", "large"], ["y"], name="grow")]
    model = write(tmp_path / "m.onnx", nodes, {"large": np.float32(1e6).reshape(())}, *PORTS)
    result = run_pass(PASS, model, {}, tmp_path, samples=X, objective=Objective.SIZE)
    said = reason(result)
    assert said.startswith("all 1 nodes must stay in FP32, such as 'grow': constant 'large' holds 1e+06; ")
    assert said.endswith("; bfloat16 would hold 1 that FP16 cannot: see the pass bf16")
    nodes = [helper.make_node("Add", ["x", "low"], ["y"], name="mask")]
    model = write(tmp_path / "lowest.onnx", nodes, {"low": np.array(np.finfo(np.float32).min)}, *PORTS)
    result = run_pass(PASS, model, {}, tmp_path, samples=X, objective=Objective.SIZE)
    assert "bfloat16" not in reason(result)  # it would round the lowest FP32 to infinity


def test_weights_outside_the_file_are_converted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = cnn(tmp_path / "m.onnx")
    inside = outputs_of(convert(model, tmp_path, IMAGES).path, IMAGES)["logits"]
    monkeypatch.setattr("mlopt.compress.quantization.graph.EXTERNAL_DATA_ABOVE", 0)
    result = convert(model, tmp_path, IMAGES)
    assert len(open_onnx(result.path).files) == 2
    np.testing.assert_array_equal(outputs_of(result.path, IMAGES)["logits"], inside)


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = cnn(tmp_path / "m.onnx")
    slow = reason(run_pass(PASS, model, {}, tmp_path, samples=IMAGES))
    assert slow.startswith("onnxruntime computes FP16 in FP32 on this CPU (x86_64): half the size, no faster")
    size = Objective.SIZE
    assert "without samples" in reason(run_pass(PASS, model, {}, tmp_path, objective=size))
    inside = branching(tmp_path / "b.onnx")
    assert "inside If" in reason(
        run_pass(PASS, inside, {}, tmp_path, samples={"x": random(2, 3, 4, 4)}, objective=size)
    )
    int8 = applied(run_pass(quantize.PASS, model, {"mode": "static"}, tmp_path, calibration=IMAGES)).path
    assert "quantized already" in reason(run_pass(PASS, int8, {}, tmp_path, samples=IMAGES, objective=size))
    empty = write(tmp_path / "e.onnx", [helper.make_node("Relu", ["x"], ["y"])], {}, *PORTS)
    assert "no float32 constants" in reason(run_pass(PASS, empty, {}, tmp_path, samples=X, objective=size))
    tiny = run_pass(PASS, model, {"ceiling": 1e-3}, tmp_path, samples=IMAGES, objective=size)
    assert reason(tiny).startswith("all 7 nodes must stay in FP32, such as 'first': ")
    monkeypatch.setattr(module, "refusal", lambda *_: "no kernel")
    assert "does not run the FP16 model: no kernel" in reason(
        run_pass(PASS, model, {}, tmp_path, samples=IMAGES, objective=size)
    )


def test_speed_on_cuda_and_on_arm_with_half_precision_is_tried(tmp_path: Path) -> None:
    model = cnn(tmp_path / "m.onnx")
    arm = PLAIN_X86.model_copy(update={"architecture": "aarch64", "isa": ("asimd", "asimdhp")})
    applied(run_pass(PASS, model, {}, tmp_path, samples=IMAGES, hardware=arm))
    applied(run_pass(PASS, model, {}, tmp_path, samples=IMAGES, target=Target(device="cuda")))


def test_what_an_operator_of_another_domain_writes_is_looked_at(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="plain"),
        helper.make_node("FusedMatMul", ["a", "w"], ["b"], name="grow", domain="com.microsoft", alpha=1e6),
        helper.make_node("Mul", ["b", "small"], ["y"], name="shrink"),
    ]
    weights = {"w": random(4, 4), "small": np.float32(1e-6).reshape(())}
    graph = helper.make_graph(
        nodes, "g", *([helper.make_tensor_value_info(*port) for port in ports] for ports in PORTS),
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "m.onnx")
    result = convert(tmp_path / "m.onnx", tmp_path, X)
    assert set(result.notes["kept_fp32"]) == {"grow", "shrink"}
    assert result.notes["kept_fp32"]["grow"].startswith("'b' reaches ")


def test_a_constant_that_is_an_output_stays(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"], name="first"),
             helper.make_node("MatMul", ["a", "v"], ["y"], name="second")]  # fmt: skip
    outputs = [*PORTS[1], ("w", FLOAT, [4, 4])]
    model = write(tmp_path / "m.onnx", nodes, {"w": random(4, 4), "v": random(4, 4, seed=1)}, PORTS[0], outputs)
    result = convert(model, tmp_path, X)
    assert result.notes["kept_fp32"] == {"first": "constant 'w' is an output of the graph"}
    assert result.notes["converted"] == 1


def test_a_model_that_takes_one_sample_at_a_time(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"], name="product"),
             helper.make_node("Reshape", ["a", "one"], ["y"], name="one_row")]  # fmt: skip
    weights = {"w": random(4, 4), "one": np.array([1, 4])}
    model = write(tmp_path / "m.onnx", nodes, weights, *PORTS)
    assert convert(model, tmp_path, X).notes["converted"] == 2


def test_an_operator_that_has_no_fp16_stays_in_fp32(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["a"], name="before"),
        helper.make_node("Celu", ["a"], ["b"], name="celu"),
        helper.make_node("Gemm", ["b", "w"], ["y"], name="after"),
    ]
    model = write(tmp_path / "m.onnx", nodes, {"w": random(4, 4)}, *PORTS)
    result = convert(model, tmp_path, X)
    assert result.notes["kept_fp32"] == {"celu": "Celu takes no FP16 at opset 20"}
    assert cosine(outputs_of(result.path, X)["y"], outputs_of(model, X)["y"]) > 0.9999


def test_a_model_that_also_answers_in_words(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"], name="scores"),
        helper.make_node("ArgMax", ["y"], ["best"], axis=1, keepdims=0, name="best"),
        helper.make_node("Cast", ["best"], ["word"], to=TensorProto.STRING, name="word"),
    ]
    outputs = [*PORTS[1], ("word", TensorProto.STRING, ["n"])]
    model = write(tmp_path / "m.onnx", nodes, {"w": random(4, 4)}, PORTS[0], outputs)
    result = convert(model, tmp_path, X)
    assert list(outputs_of(result.path, X)["word"]) == list(outputs_of(model, X)["word"])


def test_outputs_that_an_lstm_does_not_give(tmp_path: Path) -> None:
    nodes = [helper.make_node("LSTM", ["x", "w", "r", "", ""], ["", "h", ""], hidden_size=4, name="lstm"),
             helper.make_node("Squeeze", ["h", "zero"], ["y"], name="last")]  # fmt: skip
    weights = {"w": random(1, 16, 4), "r": random(1, 16, 4), "zero": np.array([0])}
    model = write(tmp_path / "m.onnx", nodes, weights, [("x", FLOAT, [3, "n", 4])], PORTS[1])
    proto = onnx.load(model)
    proto.graph.value_info.append(helper.make_tensor_value_info("", TensorProto.FLOAT, None))  # as onnxsim leaves it
    onnx.save(proto, model)
    data = {"x": random(2, 3, 4)}
    result = convert(model, tmp_path, data)
    assert result.notes["converted"] == 2
