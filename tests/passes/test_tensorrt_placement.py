"""`placement: tensorrt`: the form of Q/DQ that TensorRT's parser takes, written on a machine without a GPU."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from deployables import in_runtime
from onnx import helper, numpy_helper
from pass_runs import PLAIN_X86, applied, outputs_of, run_pass
from pydantic import ValidationError
from quantization_models import FLOAT, cnn, cosine, random, write

from mlopt.core.target import Target
from mlopt.formats.onnx.file import open_onnx, read_graph
from mlopt.passes.base import Refusal
from mlopt.passes.quantize import PASS, QuantizeConfig
from mlopt.passes.table import table
from mlopt.recipe.gates import gates
from mlopt.recipe.schema import Recipe, Step
from mlopt.run import chain
from mlopt.runtimes.table import open_session

IMAGES = {"image": random(16, 3, 8, 8)}
TENSORRT = {"mode": "static", "placement": "tensorrt"}
CUDA = Target(device="cuda")


def written(tmp_path: Path, **config: Any) -> Path:
    result = run_pass(PASS, cnn(tmp_path / "m.onnx"), {**TENSORRT, **config}, tmp_path, calibration=IMAGES)
    return applied(result).path


def test_every_zero_point_is_zero_and_no_bias_is_an_integer(tmp_path: Path) -> None:
    graph = read_graph(written(tmp_path)).graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    pairs = [node for node in graph.node if node.op_type in {"QuantizeLinear", "DequantizeLinear"}]
    zeros = [stored[node.input[2]] for node in pairs]
    assert zeros
    assert {str(zero.dtype) for zero in zeros} == {"int8"}
    assert not any(zero.any() for zero in zeros)
    made = {output for node in pairs for output in node.output}
    layers = [node for node in graph.node if node.op_type in {"Conv", "Gemm"}]
    assert [node.input[1] in made for node in layers] == [True, True, True]
    assert [node.input[2] in made for node in layers] == [False, False, False]


def test_it_computes_what_the_model_computes(tmp_path: Path) -> None:
    path = written(tmp_path)
    got, want = (outputs_of(each, IMAGES)["logits"] for each in (path, tmp_path / "m.onnx"))
    assert cosine(got, want) > 0.99
    assert np.abs(got.mean(axis=0) - want.mean(axis=0)).max() < 0.02 * np.abs(want).max()


def test_biases_in_floating_point_are_corrected_too(tmp_path: Path) -> None:
    plain, mended = (written(tmp_path, bias_correction=mend) for mend in (False, True))
    of_plain, of_mended = (
        {tensor.name: numpy_helper.to_array(tensor) for tensor in read_graph(path).graph.initializer}
        for path in (plain, mended)
    )
    assert of_mended["b1"].dtype == np.float32
    assert not np.array_equal(of_plain["b1"], of_mended["b1"])

    def off(path: Path) -> float:
        got, want = (outputs_of(each, IMAGES)["logits"] for each in (path, tmp_path / "m.onnx"))
        return float(np.abs((got - want).mean(axis=0)).max())

    assert off(mended) < off(plain)


@pytest.mark.parametrize("opset", [20, 21, 23])
@pytest.mark.parametrize("config", [TENSORRT, {"mode": "static", "scheme": "s8s8"}], ids=["tensorrt", "s8s8"])
def test_signed_activations_that_are_moved_on_load_at_every_opset(
    tmp_path: Path, opset: int, config: dict[str, Any]
) -> None:
    """onnxruntime puts a Reshape before the first product itself; the others stand in the graph."""
    node = onnx.helper.make_node
    nodes = [
        node("MatMul", ["x", "w"], ["m"], name="first"),
        node("Add", ["m", "b"], ["a"]),
        node("Relu", ["a"], ["r"]),
        node("Transpose", ["r"], ["moved"], perm=[2, 0, 1]),
        node("Sigmoid", ["moved"], ["seen"]),
        node("MatMul", ["r", "w"], ["y"], name="second"),
    ]
    weights = {"w": random(8, 8, scale=0.3, seed=1), "b": random(8, seed=2)}
    ports = [("x", FLOAT, ["n", 4, 8])], [("y", FLOAT, ["n", 4, 8]), ("seen", FLOAT, [8, "n", 4])]
    source = write(tmp_path / "m.onnx", nodes, weights, *ports, opset=opset, ir=10)
    data = {"x": random(16, 4, 8, seed=3) + 1}
    result = applied(run_pass(PASS, source, config, tmp_path, calibration=data))
    assert (result.notes["quantized"], result.notes["left_alone"]) == (2, {})
    wanted = outputs_of(source, data)
    for level in ("none", "all"):
        with open_session(in_runtime(open_onnx(result.path), graph_optimization=level)) as session:
            assert all(cosine(got, wanted[name]) > 0.999 for name, got in session.run(data).items())


def test_a_layer_left_in_floating_point_reads_one_scale(tmp_path: Path) -> None:
    graph = read_graph(written(tmp_path, exclude=["second"])).graph
    axes = [a for node in graph.node if node.op_type == "DequantizeLinear" for a in node.attribute if a.name == "axis"]
    weights = [node for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0].startswith("w")]
    assert len(axes) == len(weights)  # an activation's has none


def test_it_is_for_any_device_and_says_so_to_who_asks_for_onnxruntimes_form(tmp_path: Path) -> None:
    model = cnn(tmp_path / "m.onnx")
    refused = run_pass(PASS, model, {"mode": "static"}, tmp_path, calibration=IMAGES, target=CUDA)
    assert isinstance(refused, Refusal)
    assert refused.reason.endswith("the target is cuda: try fp16, or placement: tensorrt")
    assert applied(run_pass(PASS, model, TENSORRT, tmp_path, calibration=IMAGES, target=CUDA)).notes["scheme"] == "s8s8"


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"placement": "tensorrt"}, "add `mode: static`, the mode is auto"),
        ({"placement": "tensorrt", "mode": "dynamic"}, "add `mode: static`, the mode is dynamic"),
        ({**TENSORRT, "smooth_quant": True}, "leave out smooth_quant, or placement"),
        ({**TENSORRT, "scheme": "u8s8"}, "use scheme s8s8 or auto, not u8s8"),
    ],
)
def test_keys_that_do_not_go_together(config: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        QuantizeConfig(**config)


@pytest.mark.parametrize(
    ("steps", "objective", "told"),
    [
        ([(TENSORRT, False)], "latency", []),
        ([(TENSORRT, True)], "latency", ["leave `optional` out, or set `objective: size`"]),
        ([(TENSORRT, True)], "size", []),
        ([(TENSORRT, False), ({}, False)], "latency", ["remove 'fuse'"]),
        ([({"mode": "static"}, True), ({}, False)], "latency", []),
    ],
)
def test_what_a_chain_says_of_a_step_for_another_runtime(
    steps: list[tuple[dict[str, Any], bool]], objective: str, told: list[str]
) -> None:
    """Its speed here would drop it; and what `fuse` writes, only onnxruntime reads."""
    names = ("quantize", "fuse")
    recipe = Recipe(
        apiVersion="mlopt/v1", name="m", model={"source": "m.onnx"}, objective=objective,
        passes=[
            Step(name=name, config=table()[name].config(**config), optional=optional)
            for name, (config, optional) in zip(names, steps, strict=False)
        ],
    )  # fmt: skip
    assert [problem.fix for problem in chain.check(recipe, table(), PLAIN_X86)] == told
    speed = [gate.metric for gate in gates(recipe)]
    foreign = steps[0][0].get("placement") == "tensorrt"
    assert speed == ([] if foreign or objective == "size" else ["speedup.median"])


def test_only_weights_become_integers_beside_what_flows(tmp_path: Path) -> None:
    """TensorRT refuses a constant in INT8 that it has to stretch: a number that is added to all channels."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c", "three"], ["a"], "add"),
        helper.make_node("Mul", ["a", "scale"], ["m"], "mul"),
        helper.make_node("Conv", ["m", "v"], ["y"], "last", pads=[1, 1, 1, 1]),
    ]
    held = {
        "w": rng.normal(size=(8, 3, 3, 3)).astype(np.float32), "v": rng.normal(size=(4, 8, 3, 3)).astype(np.float32),
        "three": np.array(3, np.float32), "scale": rng.random((1, 8, 1, 1)).astype(np.float32),
    }  # fmt: skip
    ports = ("image", FLOAT, ["n", 3, 8, 8]), ("y", FLOAT, ["n", 4, 8, 8])
    model = write(tmp_path / "m.onnx", nodes, held, ports[:1], ports[1:])
    path = applied(run_pass(PASS, model, TENSORRT, tmp_path, calibration=IMAGES)).path
    graph = onnx.load(path).graph
    readers = {node.input[0]: node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    integers = [t.name for t in graph.initializer if t.data_type == onnx.TensorProto.INT8 and t.name in readers]
    assert len(integers) == 2
    for name in integers:
        assert {node.op_type for node in graph.node if readers[name] in node.input} == {"Conv"}


BUILD = """
import sys, tensorrt_rtx as trt
logger = trt.Logger(trt.Logger.ERROR)
builder = trt.Builder(logger)
network = builder.create_network(0)
parser = trt.OnnxParser(network, logger)
if not parser.parse_from_file(sys.argv[1]):
    sys.exit("; ".join(parser.get_error(i).desc() for i in range(parser.num_errors)))
config = builder.create_builder_config()
config.num_compute_capabilities = 1
config.set_compute_capability(trt.ComputeCapability.SM89, 0)
profile = builder.create_optimization_profile()
profile.set_shape("image", (1, 3, 8, 8), (4, 3, 8, 8), (8, 3, 8, 8))
config.add_optimization_profile(profile)
engine = builder.build_serialized_network(network, config)
sys.exit(0 if engine is not None and engine.nbytes > 0 else "no engine")
"""


@pytest.mark.rtx
@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="needs TensorRT-RTX: pip install tensorrt-rtx-cu12"
)
@pytest.mark.parametrize(("placement", "refused"), [("tensorrt", None), ("onnxruntime", "zero point")])
def test_tensorrt_builds_an_engine_of_its_own_form_only(tmp_path: Path, placement: str, refused: str | None) -> None:
    path = written(tmp_path, placement=placement)
    onnx.checker.check_model(path, full_check=True)
    command = [sys.executable, "-c", BUILD, path]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert (done.returncode == 0) == (refused is None), done.stderr
    assert refused is None or refused in done.stderr
