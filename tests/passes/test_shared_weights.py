"""One constant in several roles: whatever reads it, in every mode, the outputs stay those of the model."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from onnx import helper
from pass_runs import PLAIN_X86, applied, outputs_of, run_pass
from quantization_models import FLOAT, INT64, random, write

from mlopt.formats.onnx.file import read_graph
from mlopt.passes.base import Refusal
from mlopt.passes.quantize import PASS
from mlopt.runtimes.onnxruntime import quiet_session

pytestmark = pytest.mark.heavy

VNNI = PLAIN_X86.model_copy(update={"isa": (*PLAIN_X86.isa, "avx512_vnni")})
SIZE = 8
EXAMPLES = int(os.environ.get("MLOPT_EXAMPLES", "0"))
LARGEST_ERROR = 0.15
"""Relative norm: integers of one scale for a whole weight make up to 0.1 here, a wrong axis 0.5 and more."""


def node(op_type: str, reads: Sequence[str], writes: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op_type, reads, [writes], name=f"node_{writes}", **attributes)


def weight(*shape: int, seed: int) -> np.ndarray[Any, Any]:
    """Normal values whose size differs along the first two axes, so that scales along a wrong axis are seen."""
    values = random(*shape, scale=SIZE**-0.5, seed=seed)
    for axis in range(min(2, values.ndim)):
        sizes = np.exp(0.7 * random(shape[axis], seed=seed + axis + 1))
        values *= sizes.reshape([-1 if place == axis else 1 for place in range(values.ndim)])
    return values


CONSTANTS = {
    "w": weight(SIZE, SIZE, seed=1), "b": weight(SIZE, seed=5), "v": weight(SIZE, SIZE, seed=9),
    "kernel": weight(SIZE, 1, 3, seed=13), "stack": weight(1, SIZE, SIZE, seed=17),
    "point": weight(SIZE, SIZE, 1, seed=21), "gain": np.float32(20), "zero": np.float32(0),
    "first": np.array([1]), "last": np.array([2]), "repeats": np.array([1, 1, 3]), "one": weight(1, seed=25),
}  # fmt: skip


def bodies(y: str) -> dict[str, onnx.GraphProto]:
    then = [helper.make_node("MatMul", ["x", "w"], [f"{y}1"]), helper.make_node("Add", [f"{y}1", "b"], [f"{y}2"])]
    other = [helper.make_node("Gemm", ["x", "w", "b"], [f"{y}3"], transB=1)]
    typed = [helper.make_tensor_value_info(f"{y}{number}", FLOAT, ["n", SIZE]) for number in (2, 3)]
    return {
        "then_branch": helper.make_graph(then, "then", [], typed[:1]),
        "else_branch": helper.make_graph(other, "else", [], typed[1:]),
    }


def role(name: str, y: str) -> list[onnx.NodeProto]:
    """Return nodes that read a shared constant in one way, from the input ``x`` to the output ``y``."""
    match name:
        case "product":
            return [node("MatMul", ["x", "w"], y)]
        case "gemm" | "transposed gemm":
            return [node("Gemm", ["x", "w", "b"], y, transB=int(name != "gemm"))]
        case "scaled gemm":
            return [node("Gemm", ["x", "w", "b"], y, alpha=0.25, beta=3.0, transB=1)]
        case "gemm of larger values":
            return [node("Mul", ["x", "gain"], f"{y}m"), node("Gemm", [f"{y}m", "w", "b"], y)]
        case "left factor":
            turned = node("Transpose", ["x"], f"{y}t"), node("MatMul", ["w", f"{y}t"], f"{y}m")
            return [*turned, node("Transpose", [f"{y}m"], y)]
        case "left factor of a gemm":
            return [node("Gemm", ["w", "x"], f"{y}m", transB=1), node("Transpose", [f"{y}m"], y)]
        case "table":
            return [node("Gather", ["w", "ids"], f"{y}g"), node("Add", ["x", f"{y}g"], y)]
        case "table and product":
            return [node("Gather", ["w", "ids"], f"{y}g"), node("MatMul", [f"{y}g", "w"], y)]
        case "summand":
            return [node("MatMul", ["x", "v"], f"{y}m"), node("Add", [f"{y}m", "b"], y)]
        case "vector":
            return [node("MatMul", ["x", "b"], f"{y}m"), node("Unsqueeze", [f"{y}m", "first"], y)]
        case "transposed" | "passed on":
            return [node("Transpose" if name == "transposed" else "Identity", ["w"], f"{y}w"),
                    node("MatMul", ["x", f"{y}w"], y)]  # fmt: skip
        case "both factors":
            return [node("MatMul", ["w", "w"], f"{y}w"), node("MatMul", ["x", f"{y}w"], y)]
        case "convolution":
            return [node("Unsqueeze", ["x", "first"], f"{y}u"), node("Conv", [f"{y}u", "kernel", "b"], y, pads=[1, 1])]
        case "depthwise convolution":
            wide = node("Unsqueeze", ["x", "last"], f"{y}u"), node("Tile", [f"{y}u", "repeats"], f"{y}t")
            return [*wide, node("Conv", [f"{y}t", "kernel", "b"], y, group=SIZE)]
        case "transposed convolution":
            return [node("Unsqueeze", ["x", "last"], f"{y}u"), node("ConvTranspose", [f"{y}u", "kernel", "one"], y)]
        case "pointwise" | "transposed pointwise":
            op_type = "Conv" if name == "pointwise" else "ConvTranspose"
            return [node("Unsqueeze", ["x", "last"], f"{y}u"), node(op_type, [f"{y}u", "point"], y)]
        case "batched":
            return [node("Unsqueeze", ["x", "first"], f"{y}u"), node("MatMul", [f"{y}u", "stack"], y)]
        case "body":
            chosen = node("ReduceSum", ["x"], f"{y}s", keepdims=0), node("Greater", [f"{y}s", "zero"], f"{y}p")
            return [*chosen, node("If", [f"{y}p"], y, **bodies(y))]
    raise AssertionError(name)


FLAT = ("product", "gemm", "transposed gemm", "scaled gemm", "gemm of larger values", "left factor",
        "left factor of a gemm", "table", "table and product", "summand", "vector", "transposed", "passed on",
        "both factors", "body")  # fmt: skip
DEEP = ("convolution", "depthwise convolution", "transposed convolution", "pointwise", "transposed pointwise",
        "batched")  # fmt: skip
MODES: Mapping[str, Mapping[str, Any]] = {
    "static": {"mode": "static"},
    "static, uncorrected": {"mode": "static", "bias_correction": False, "reduce_range": True},
    "static, one scale": {"mode": "static", "per_channel": False},
    "static, signed": {"mode": "static", "scheme": "s8s8"},
    "for TensorRT": {"mode": "static", "placement": "tensorrt"},
    "dynamic": {"mode": "dynamic"},
    "dynamic, one scale": {"mode": "dynamic", "per_channel": False},
    "8 bits": {"mode": "weight_only", "bits": 8, "block_size": 16},
    "4 bits": {"mode": "weight_only", "bits": 4, "block_size": 16, "symmetric": False},
}


def model(path: Path, roles: Sequence[str], given_out: Sequence[str] = ()) -> Path:
    """Every role computes an output of its own; ``given_out`` are constants that are outputs, too."""
    nodes = [each for place, name in enumerate(roles) for each in role(name, f"y{place}")]
    inner = [each for n in nodes for a in n.attribute if a.HasField("g") for each in a.g.node]
    read = {name for each in (*nodes, *inner) for name in each.input} | set(given_out)
    inputs: list[Any] = [("x", FLOAT, ["n", SIZE]), *([("ids", INT64, ["n"])] if "ids" in read else [])]
    outputs: list[Any] = [(f"y{n}", FLOAT, [None] * (2 if r in FLAT else 3)) for n, r in enumerate(roles)]
    outputs += [(name, FLOAT, list(CONSTANTS[name].shape)) for name in given_out]
    constants = {name: values for name, values in CONSTANTS.items() if name in read}
    return write(path, nodes, constants, inputs, outputs, opset=13)


def feeds(count: int, seed: int, *, corners: bool = False) -> dict[str, Any]:
    """Values between -1 and 1; with all corners, no linear layer goes beyond what was seen."""
    source = np.random.default_rng(seed)
    x = source.uniform(-1, 1, size=(count, SIZE)).astype(np.float32)
    if corners:
        x[: 2**SIZE] = (np.arange(2**SIZE)[:, None] >> np.arange(SIZE) & 1) * 2.0 - 1.0
    return {"x": x, "ids": source.integers(0, SIZE, size=count)}


CALIBRATION, FRESH = feeds(2**SIZE + 8, 1, corners=True), feeds(32, 99)


def of(arrays: Mapping[str, Any], path: Path) -> dict[str, Any]:
    return {value.name: arrays[value.name] for value in read_graph(path).graph.input}


def errors(path: Path, other: Path) -> dict[str, float]:
    """How far the outputs of ``other`` are from those of ``path``, with all optimizations and with none."""
    fed = of(FRESH, path)
    expected, plain = outputs_of(path, fed), outputs_of(other, fed)
    fused = dict(zip(expected, quiet_session(other).run(None, fed), strict=True))
    return {
        name: max(float(np.linalg.norm(got[name] - value) / np.linalg.norm(value)) for got in (plain, fused))
        for name, value in expected.items()
    }


@settings(max_examples=max(100, EXAMPLES), deadline=None)
@given(
    st.lists(st.sampled_from((*FLAT, *DEEP)), min_size=2, max_size=4),
    st.sampled_from(sorted(MODES)), st.booleans(), st.booleans(), st.booleans(),
)  # fmt: skip
@example(["product", "transposed gemm"], "static", False, False, False)
@example(["transposed gemm", "product"], "static", True, False, True)
@example(["gemm", "scaled gemm"], "dynamic", False, False, False)
@example(["table", "transposed gemm"], "dynamic", True, False, True)
@example(["convolution", "depthwise convolution", "gemm of larger values", "gemm"], "static", False, True, False)
def test_every_role_computes_what_it_computed(
    roles: list[str], mode: str, vnni: bool, spared: bool, given_out: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = model(Path(folder) / "m.onnx", roles, ["w"] if given_out else [])
        config = {**MODES[mode], "keep_first": int(spared)}
        hardware = VNNI if vnni else PLAIN_X86
        data = of(CALIBRATION, source)
        result = run_pass(PASS, source, config, Path(folder), calibration=data, hardware=hardware)
        if isinstance(result, Refusal):  # the tool and the loader always find a way, unless there is nothing to do
            assert not any(word in result.reason for word in ("failed", "refused the result", "passed them all over"))
        assume(not isinstance(result, Refusal))
        found = errors(source, applied(result).path)
        assert max(found.values()) < LARGEST_ERROR, found
        assert found.get("w", 0.0) == 0.0  # what leaves the model is not rounded


def test_a_tied_projection_has_scales_along_its_own_axis(tmp_path: Path) -> None:
    nodes = [
        node("Gemm", ["x", "w", "b"], "h"), node("Relu", ["h"], "r"), node("Gemm", ["r", "w", "b"], "y", transB=1),
    ]  # fmt: skip
    constants = {name: CONSTANTS[name] for name in ("w", "b")}
    source = write(tmp_path / "m.onnx", nodes, constants, [("x", FLOAT, ["n", SIZE])], [("y", FLOAT, ["n", SIZE])])
    result = applied(run_pass(PASS, source, {"mode": "static"}, tmp_path, calibration=of(CALIBRATION, source)))
    assert errors(source, result.path)["y"] < 0.05
    assert result.notes["remarks"] == ["weight 'w' is stored 2 times, since its readers want it in different forms"]


def test_a_layer_that_is_left_alone_reads_the_weight_as_it_was(tmp_path: Path) -> None:
    source = model(tmp_path / "m.onnx", ["product", "product", "convolution"])
    config = {"mode": "static", "exclude": ["node_y0"]}
    result = applied(run_pass(PASS, source, config, tmp_path, calibration=of(CALIBRATION, source)))
    found = errors(source, result.path)
    assert found["y1"] > 0.001
    graph = read_graph(result.path).graph
    left = next(each for each in graph.node if each.name == "node_y0")
    assert left.input[1] in {tensor.name for tensor in graph.initializer}


@pytest.mark.parametrize("mode", ["static", "dynamic"])
def test_readers_that_agree_share_one_tensor(mode: str, tmp_path: Path) -> None:
    source = model(tmp_path / "m.onnx", ["product", "gemm", "product"])
    result = applied(run_pass(PASS, source, {"mode": mode}, tmp_path, calibration=of(CALIBRATION, source)))
    assert result.notes["remarks"] == []
    assert [tuple(tensor.dims) for tensor in read_graph(result.path).graph.initializer].count((SIZE, SIZE)) == 1


@pytest.mark.parametrize("mode", ["static", "dynamic"])
def test_a_stack_of_matrices_has_one_scale(mode: str, tmp_path: Path) -> None:
    source = model(tmp_path / "m.onnx", ["batched", "vector", "product"])
    result = applied(run_pass(PASS, source, {"mode": mode}, tmp_path, calibration=of(CALIBRATION, source)))
    assert set(result.notes["per_tensor"]) == {"node_y0", "node_y1m"}
    assert "3 axes" in result.notes["per_tensor"]["node_y0"]
    assert result.notes["quantized"] == 3
    assert max(errors(source, result.path).values()) < LARGEST_ERROR


@pytest.mark.skipif(find_spec("nncf") is None, reason="needs NNCF")
@pytest.mark.parametrize(
    "roles", [["product", "transposed gemm"], ["pointwise", "left factor", "left factor of a gemm"]], ids=str
)
def test_nncf_takes_no_axis_for_another(roles: list[str], tmp_path: Path) -> None:
    source = model(tmp_path / "m.onnx", roles)
    data = {name: values[::8] for name, values in of(CALIBRATION, source).items()}
    config = {"mode": "static", "smooth_quant": True}
    result = applied(run_pass(PASS, source, config, tmp_path, calibration=data, hardware=VNNI))
    assert max(errors(source, result.path).values()) < LARGEST_ERROR
