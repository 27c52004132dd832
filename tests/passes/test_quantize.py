"""INT8: what it chooses, what it leaves alone and says so, and that the outputs stay close."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deployables import in_runtime
from onnx import helper, numpy_helper
from pass_runs import PLAIN_X86, applied, outputs_of, run_pass
from pydantic import ValidationError
from quantization_models import FLOAT, INT64, branching, cnn, cosine, encoder, random, write

from mlopt.compress.quantization import graph as graph_module
from mlopt.compress.quantization import writer
from mlopt.compress.quantization.scheme import Mode
from mlopt.core.errors import PassError
from mlopt.core.target import Target
from mlopt.formats.onnx.file import open_onnx, read_graph
from mlopt.formats.onnx.int8 import overflow
from mlopt.passes.base import PassResult, Refusal
from mlopt.passes.quantize import PASS, QuantizeConfig
from mlopt.runtimes.table import open_session

IMAGES = {"image": random(16, 3, 8, 8)}
STATIC, DYNAMIC = {"mode": "static"}, {"mode": "dynamic"}
TEXT = {"ids": np.random.default_rng(0).integers(0, 50, (8, 6)), "offset": random(8, 6, 16, scale=0.1)}


def kinds(result: PassResult) -> list[str]:
    return [node.op_type for node in read_graph(result.path).graph.node]


def reason(result: PassResult | Refusal) -> str:
    assert isinstance(result, Refusal), result
    return result.reason


def test_a_convolutional_graph_becomes_static(tmp_path: Path) -> None:
    model = cnn(tmp_path / "m.onnx")
    result = applied(run_pass(PASS, model, STATIC, tmp_path, calibration=IMAGES))
    assert result.notes["mode"] == "static"
    notes = [result.notes[key] for key in ("scheme", "reduce_range", "pair_safe", "biases_corrected")]
    assert notes == ["u8s8", False, True, True]  # PLAIN_X86 has no VNNI: no pair of products may overflow
    assert (result.notes["quantized"], result.notes["quantizable"], result.notes["left_alone"]) == (3, 3, {})
    assert result.notes["calibration_samples"] == 16
    got, want = (outputs_of(path, IMAGES)["logits"] for path in (result.path, model))
    assert cosine(got, want) > 0.99
    assert [file.name for file in result.path.parent.iterdir()] == ["model.onnx"]


def test_inputs_and_outputs_stand(tmp_path: Path) -> None:
    cases = ((cnn(tmp_path / "c.onnx"), STATIC, IMAGES), (encoder(tmp_path / "e.onnx"), DYNAMIC, TEXT))
    for model, config, data in cases:
        before = open_onnx(model)
        after = open_onnx(applied(run_pass(PASS, model, config, tmp_path, calibration=data)).path)
        assert (after.inputs, after.outputs) == (before.inputs, before.outputs)


def test_another_batch_size_runs(tmp_path: Path) -> None:
    result = applied(run_pass(PASS, cnn(tmp_path / "m.onnx"), STATIC, tmp_path, calibration=IMAGES))
    assert outputs_of(result.path, {"image": random(5, 3, 8, 8)})["logits"].shape == (5, 5)


@pytest.mark.parametrize("scheme", ["u8s8", "s8s8", "u8u8"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_every_scheme_gives_its_types(tmp_path: Path, scheme: str, per_channel: bool) -> None:
    config = {**STATIC, "scheme": scheme, "per_channel": per_channel, "reduce_range": False}
    model = cnn(tmp_path / "m.onnx")
    result = applied(run_pass(PASS, model, config, tmp_path, calibration=IMAGES))
    weight = next(t for t in read_graph(result.path).graph.initializer if t.name == "w2_quantized")
    assert weight.data_type == (weight.UINT8 if scheme == "u8u8" else weight.INT8)
    assert cosine(outputs_of(result.path, IMAGES)["logits"], outputs_of(model, IMAGES)["logits"]) > 0.99


def test_reduced_range_keeps_weights_to_seven_bits(tmp_path: Path) -> None:
    import onnx

    result = applied(
        run_pass(PASS, cnn(tmp_path / "m.onnx"), {**STATIC, "reduce_range": True}, tmp_path, calibration=IMAGES)
    )
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in read_graph(result.path).graph.initializer}
    assert np.abs(weights["w2_quantized"].astype(int)).max() == 64


@pytest.mark.heavy
@pytest.mark.parametrize("method", ["percentile", "entropy"])
def test_other_calibration_methods(tmp_path: Path, method: str) -> None:
    model = cnn(tmp_path / "m.onnx")
    result = applied(run_pass(PASS, model, {**STATIC, "calibration": method}, tmp_path, calibration=IMAGES))
    assert result.notes["calibration"] == method
    assert cosine(outputs_of(result.path, IMAGES)["logits"], outputs_of(model, IMAGES)["logits"]) > 0.97


def test_matrix_products_become_dynamic_without_calibration(tmp_path: Path) -> None:
    model = encoder(tmp_path / "m.onnx")
    result = applied(run_pass(PASS, model, DYNAMIC, tmp_path, samples=TEXT))
    assert (result.notes["mode"], result.notes["quantized"], result.notes["quantizable"]) == ("dynamic", 3, 3)
    assert "MatMulInteger" in kinds(result)
    assert "calibration_samples" not in result.notes
    table = next(t for t in read_graph(result.path).graph.initializer if t.name == "table_quantized")
    assert table.data_type == table.UINT8
    for name, want in outputs_of(model, TEXT).items():
        assert cosine(outputs_of(result.path, TEXT)[name], want) > 0.99


def test_static_around_matrix_products_leaves_sums_alone(tmp_path: Path) -> None:
    result = applied(run_pass(PASS, encoder(tmp_path / "m.onnx"), {"mode": "static"}, tmp_path, calibration=TEXT))
    graph = read_graph(result.path).graph
    quantized = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    add = next(node for node in graph.node if node.op_type == "Add")
    assert not quantized.intersection(add.input)
    assert result.notes["quantized"] == 3


def test_dynamic_mode_leaves_convolutions_alone_and_says_why(tmp_path: Path) -> None:
    result = applied(run_pass(PASS, cnn(tmp_path / "m.onnx"), {"mode": "dynamic"}, tmp_path))
    assert (result.notes["quantized"], result.notes["quantizable"]) == (1, 3)
    assert set(result.notes["left_alone"]) == {"first", "second"}
    assert "several times slower" in result.notes["left_alone"]["first"]
    assert "ConvInteger" not in kinds(result)


def test_the_first_layers_can_be_kept(tmp_path: Path) -> None:
    result = applied(
        run_pass(PASS, cnn(tmp_path / "m.onnx"), {**STATIC, "keep_first": 2}, tmp_path, calibration=IMAGES)
    )
    assert (result.notes["quantized"], result.notes["quantizable"]) == (1, 3)
    assert set(result.notes["left_alone"].values()) == {"one of the first 2, which the recipe keeps"}


def test_excluded_nodes_are_left_alone(tmp_path: Path) -> None:
    model = cnn(tmp_path / "m.onnx")
    result = applied(run_pass(PASS, model, {**STATIC, "exclude": ["fir*"]}, tmp_path, calibration=IMAGES))
    assert result.notes["left_alone"] == {"first": "excluded by 'fir*'"}
    assert result.notes["quantized"] == 2
    with pytest.raises(PassError, match="no node has such a name"):
        run_pass(PASS, model, {**STATIC, "exclude": ["frist"]}, tmp_path, calibration=IMAGES)


def test_a_mask_is_left_alone(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("Add", ["c", "mask"], ["y"], name="masking"),
    ]
    mask = np.array([0, -3.4e38, 0, 0], dtype=np.float32)
    ports = [("x", FLOAT, ["n", 3, 4, 4])], [("y", FLOAT, ["n", 4, 4, 4])]
    model = write(tmp_path / "m.onnx", nodes, {"w": random(4, 3, 1, 1), "mask": mask}, *ports)
    data = {"x": random(4, 3, 4, 4)}
    result = applied(run_pass(PASS, model, STATIC, tmp_path, calibration=data))
    assert result.notes["left_alone"] == {"masking": "'y' reaches 3.4e+38"}
    kept = [slice(None), slice(None), slice(None), [0, 2, 3]]
    got, want = (outputs_of(path, data)["y"][tuple(kept)] for path in (result.path, model))
    assert cosine(got, want) > 0.99


@pytest.mark.parametrize("batch", [1, 4])
def test_an_old_model_with_a_fixed_batch(tmp_path: Path, batch: int) -> None:
    model = cnn(tmp_path / "m.onnx", batch=batch, opset=9, weights_are_inputs=True)
    result = applied(run_pass(PASS, model, STATIC, tmp_path, calibration=IMAGES))
    assert result.notes["remarks"] == ["the opset was raised from 9 to 13"]
    feeds = {"image": IMAGES["image"][:batch]}
    assert cosine(outputs_of(result.path, feeds)["logits"], outputs_of(model, feeds)["logits"]) > 0.99


def test_an_opset_that_cannot_be_raised_costs_the_channels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "same_outputs", lambda *_: False)
    result = applied(run_pass(PASS, cnn(tmp_path / "m.onnx", opset=12), STATIC, tmp_path, calibration=IMAGES))
    assert result.notes["remarks"] == ["raising the opset to 13 changes what the model computes"]
    assert not result.notes["per_channel"]
    old = cnn(tmp_path / "old.onnx", opset=9)
    assert "opset 9 is too old" in reason(run_pass(PASS, old, STATIC, tmp_path, calibration=IMAGES))


def test_integer_paths_and_control_flow_are_left_alone(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("Add", ["k", "one"], ["k1"]),
        helper.make_node("Concat", ["k1", "one"], ["shape"], axis=0),
        helper.make_node("Reshape", ["c", "shape"], ["y"]),
    ]
    weights = {"w": random(1, 3, 1, 1), "one": np.array([-1], dtype=np.int64)}
    model = write(
        tmp_path / "m.onnx", nodes, weights, [("x", FLOAT, ["n", 3, 4, 4]), ("k", INT64, [1])], [("y", FLOAT, [8, "m"])]
    )
    data = {"x": random(2, 3, 4, 4)[:, None], "k": np.array([[9], [9]])}
    model_with_batch = {"x": data["x"][0], "k": data["k"][0]}
    result = applied(run_pass(PASS, model, STATIC, tmp_path, calibration=data))
    assert cosine(outputs_of(result.path, model_with_batch)["y"], outputs_of(model, model_with_batch)["y"]) > 0.99

    model, feeds = branching(tmp_path / "b.onnx"), {"x": random(4, 3, 4, 4)}
    result = applied(run_pass(PASS, model, STATIC, tmp_path, calibration=feeds))
    assert (result.notes["quantized"], result.notes["quantizable"]) == (1, 1)
    assert cosine(outputs_of(result.path, feeds)["y"], outputs_of(model, feeds)["y"]) > 0.99


@pytest.mark.parametrize("mode", ["static", "dynamic"])
def test_a_large_model_keeps_external_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.setattr(graph_module, "EXTERNAL_DATA_ABOVE", 0)
    model, data = (cnn(tmp_path / "m.onnx"), IMAGES) if mode == "static" else (encoder(tmp_path / "m.onnx"), TEXT)
    result = applied(run_pass(PASS, model, {"mode": mode}, tmp_path, calibration=data))
    assert sorted(file.name for file in open_onnx(result.path).files) == ["model.onnx", "model.onnx.data"]
    name = "logits" if mode == "static" else "z"
    assert cosine(outputs_of(result.path, data)[name], outputs_of(model, data)[name]) > 0.99


def test_nothing_reaches_standard_output(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    applied(
        run_pass(PASS, cnn(tmp_path / "m.onnx"), {**STATIC, "calibration": "percentile"}, tmp_path, calibration=IMAGES)
    )
    applied(run_pass(PASS, encoder(tmp_path / "e.onnx"), DYNAMIC, tmp_path, samples=TEXT))
    assert capfd.readouterr() == ("", "")


def test_refusals(tmp_path: Path) -> None:
    model = cnn(tmp_path / "m.onnx")
    assert "static INT8 needs calibration data" in reason(run_pass(PASS, model, STATIC, tmp_path, samples=IMAGES))
    cuda = Target(device="cuda")
    assert "CPU kernels, and the target is cuda" in reason(
        run_pass(PASS, model, STATIC, tmp_path, calibration=IMAGES, target=cuda)
    )
    quantized = applied(run_pass(PASS, model, STATIC, tmp_path, calibration=IMAGES)).path
    assert reason(run_pass(PASS, quantized, STATIC, tmp_path, calibration=IMAGES)) == (
        "the model is quantized already: it has DequantizeLinear, QuantizeLinear"
    )
    ports = [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])]
    relu = write(tmp_path / "r.onnx", [helper.make_node("Relu", ["x"], ["y"])], {}, *ports)
    assert reason(run_pass(PASS, relu, {}, tmp_path)).startswith("nothing to quantize: no Conv, MatMul, Gemm or LSTM")
    scaled = [helper.make_node("Gemm", ["x", "w"], ["y"], alpha=0.5)]
    gemm = write(tmp_path / "g.onnx", scaled, {"w": random(4, 4)}, *ports)
    assert "could be quantized: a Gemm with alpha 0.5 is for mode static only" in reason(
        run_pass(PASS, gemm, DYNAMIC, tmp_path)
    )


def test_the_scheme_follows_the_hardware(tmp_path: Path) -> None:
    arm = PLAIN_X86.model_copy(update={"architecture": "aarch64", "isa": ("asimd", "asimddp")})
    result = applied(run_pass(PASS, cnn(tmp_path / "m.onnx"), STATIC, tmp_path, calibration=IMAGES, hardware=arm))
    assert (result.notes["scheme"], result.notes["reduce_range"]) == ("s8s8", False)


@pytest.mark.parametrize("bad", [{"mode": "fast"}, {"scheme": "u4"}, {"per_chanel": True}, {"calibration": "mse"}])
def test_the_configuration_is_strict(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        QuantizeConfig(**bad)


def test_onnxruntime_computes_what_the_file_says(tmp_path: Path) -> None:
    """On a CPU whose 16-bit sums saturate, only weights that are made for it give what the graph means."""
    weight = np.abs(random(16, 32, 3, 3, seed=3))  # all of one sign, and inputs at their largest: the worst case
    node = helper.make_node("Conv", ["x", "w"], ["y"], name="conv", pads=[1, 1, 1, 1])
    ports = [("x", FLOAT, ["n", 32, 8, 8])], [("y", FLOAT, ["n", 16, 8, 8])]
    model, data = write(tmp_path / "m.onnx", [node], {"w": weight}, *ports), {"x": np.ones((4, 32, 8, 8), np.float32)}
    result = applied(run_pass(PASS, model, {"mode": "static", "bias_correction": False}, tmp_path, calibration=data))
    assert result.notes["pair_safe"]
    codes = next(numpy_helper.to_array(t) for t in read_graph(result.path).graph.initializer if t.name == "w_quantized")
    assert codes.max() > 64
    with open_session(in_runtime(open_onnx(result.path))) as session:
        np.testing.assert_allclose(session.run(data)["y"], outputs_of(result.path, data)["y"], rtol=1e-5)


@pytest.mark.parametrize("mode", Mode)
def test_a_configuration_written_out_in_full_is_read_again(mode: Mode) -> None:
    """As it stands in an artifact's ``recipe.lock.yaml``, keys of other modes included."""
    config = QuantizeConfig(mode=mode)
    assert QuantizeConfig.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.process
def test_a_search_without_calibration_data_says_what_judged(tmp_path: Path) -> None:
    model = encoder(tmp_path / "m.onnx")
    found = run_pass(PASS, model, {"mode": "auto", "seconds": 1}, tmp_path, samples=TEXT)
    assert found.notes["search"]["judged_on"] == 8
    assert found.notes["search"]["remark"] == "there is no calibration data: these are evaluation samples"


WITH_VNNI = PLAIN_X86.model_copy(update={"isa": (*PLAIN_X86.isa, "avx512_vnni")})


@pytest.mark.parametrize("config", [STATIC, DYNAMIC, {**STATIC, "scheme": "s8s8"}, {"mode": "weight_only"}])
def test_portable_weights_are_right_on_every_cpu(tmp_path: Path, config: dict[str, Any]) -> None:
    text = config["mode"] != "static"
    model, data = (encoder(tmp_path / "m.onnx"), TEXT) if text else (cnn(tmp_path / "m.onnx"), IMAGES)
    results = {
        portable: applied(
            run_pass(PASS, model, {**config, "portable": portable}, tmp_path, calibration=data, hardware=WITH_VNNI)
        )
        for portable in (False, True)
    }
    overflows = {portable: bool(overflow(result.path).layers) for portable, result in results.items()}
    assert overflows == {False: config["mode"] != "weight_only", True: False}
    name = open_onnx(model).outputs[0].name
    assert cosine(outputs_of(results[True].path, data)[name], outputs_of(model, data)[name]) > 0.98


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({**STATIC, "reduce_range": False}, "leave out reduce_range"),
        ({**STATIC, "smooth_quant": True}, "leave out smooth_quant"),
        ({**STATIC, "placement": "tensorrt"}, "leave out placement"),
    ],
)
def test_portable_does_not_go_with_what_writes_other_weights(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        QuantizeConfig(**config, portable=True)


@pytest.mark.parametrize("config", [STATIC, DYNAMIC, {"mode": "weight_only", "block_size": 16}])
def test_a_bias_that_is_left_out_by_an_empty_name(tmp_path: Path, config: dict[str, Any]) -> None:
    nodes = [helper.make_node("Gemm", ["x", "w", ""], ["y"], name="product")]
    ports = [("x", FLOAT, ["n", 16])], [("y", FLOAT, ["n", 8])]
    model, data = write(tmp_path / "m.onnx", nodes, {"w": random(16, 8)}, *ports), {"x": random(12, 16)}
    result = applied(run_pass(PASS, model, config, tmp_path, calibration=data))
    assert (result.notes["quantized"], result.notes["left_alone"]) == (1, {})
    assert cosine(outputs_of(result.path, data)["y"], outputs_of(model, data)["y"]) > 0.99


@pytest.mark.parametrize("config", [STATIC, DYNAMIC, {"mode": "weight_only", "block_size": 16}])
def test_a_weight_that_holds_nan_stays_and_is_named(tmp_path: Path, config: dict[str, Any]) -> None:
    weight = random(16, 16)
    weight[3, 5], weight[4, 6] = np.nan, np.inf
    nodes = [helper.make_node("MatMul", ["x", "broken"], ["b"], name="first"),
             helper.make_node("MatMul", ["x", "w"], ["y"], name="second")]  # fmt: skip
    ports = [("x", FLOAT, ["n", 16])], [("b", FLOAT, ["n", 16]), ("y", FLOAT, ["n", 8])]
    model = write(tmp_path / "m.onnx", nodes, {"broken": weight, "w": random(16, 8)}, *ports)
    data = {"x": random(12, 16)}
    result = applied(run_pass(PASS, model, config, tmp_path, calibration=data))
    assert result.notes["left_alone"] == {"first": "constant 'broken' holds NaN or infinity"}
    got, want = (outputs_of(path, data) for path in (result.path, model))
    finite = np.isfinite(want["b"])
    np.testing.assert_allclose(got["b"][finite], want["b"][finite], atol=0.3)  # static mode rounds the input of both
    assert cosine(got["y"], want["y"]) > 0.99
