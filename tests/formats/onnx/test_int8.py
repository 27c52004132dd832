"""Whether a file's INT8 sums fit into 16 bits, held against an accumulator that saturates."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mlopt.formats.onnx.int8 import overflow

Array = NDArray[Any]
node, value = helper.make_node, helper.make_tensor_value_info
BENCHMARK = Path(__file__).parents[3] / "benchmarks/other_cpu.py"


def write(path: Path, nodes: list[onnx.NodeProto], tensors: dict[str, Array], inputs: Any, output: Any) -> Path:
    constants = [numpy_helper.from_array(array, name) for name, array in tensors.items()]
    graph = helper.make_graph(nodes, "g", inputs, [output], constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def behind_dequantize(
    path: Path, op: str, weight: Array, moved: list[onnx.NodeProto] | None = None, **more: Any
) -> Path:
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["xq"]), node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        node("DequantizeLinear", ["w", "s", "wz"], ["wd"]), *(moved or []),
        node(op, ["xd", moved[-1].output[0] if moved else "wd"], ["y"], name="layer", **more),
    ]  # fmt: skip
    tensors = {"s": np.float32(0.1), "z": np.uint8(0), "wz": weight.dtype.type(0), "w": weight}
    return write(path, nodes, tensors, [value("x", TensorProto.FLOAT, None)], value("y", TensorProto.FLOAT, None))


def in_integers(path: Path, op: str, weight: Array | None) -> Path:
    inputs = [value("a", TensorProto.UINT8, None)]
    inputs += [value("w", TensorProto.INT8, None)] if weight is None else []
    tensors = {} if weight is None else {"w": weight}
    return write(
        path, [node(op, ["a", "w"], ["y"], name="layer")], tensors, inputs, value("y", TensorProto.INT32, None)
    )


def saturating(rows: Array, codes: Array) -> Array:
    """Multiply [n, k] by [channels, k] as AVX2 does: two neighbours are added in 16 bits, which saturate."""
    even = rows.shape[1] % 2
    products = np.pad(codes[:, None, :].astype(np.int64) * rows[None].astype(np.int64), ((0, 0), (0, 0), (0, even)))
    pairs = products.reshape(*products.shape[:2], -1, 2).sum(axis=3)
    return np.asarray(pairs.clip(-(2**15), 2**15 - 1).sum(axis=2))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 5),
    st.integers(1, 127),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["rows", "columns"]),
)
def test_what_is_said_to_fit_is_added_exactly(
    tmp_path_factory: pytest.TempPathFactory, length: int, channels: int, largest: int, seed: int, layout: str
) -> None:
    random = np.random.default_rng(seed)
    weight = random.integers(-largest, largest + 1, (length, channels)).astype(np.int8)
    path = tmp_path_factory.mktemp("int8") / "model.onnx"
    if layout == "rows":
        found = overflow(behind_dequantize(path, "Gemm", np.ascontiguousarray(weight.T), transB=1))
    else:
        found = overflow(in_integers(path, "MatMulInteger", weight))
    codes = np.concatenate([255 * (np.sign(weight.T) == sign) for sign in (1, -1)]).astype(np.uint8)  # the worst inputs
    exact = np.array_equal(saturating(weight.T, codes), codes.astype(np.int64) @ weight.astype(np.int64))
    assert bool(found.layers) or exact
    assert not found.layers or largest * 2 > 128


@pytest.mark.parametrize(
    ("shape", "more", "overflows"),
    [
        ((8, 16, 3, 3), {}, True),
        ((16, 4, 3), {"group": 4}, True),
        ((16, 1, 3, 3), {"group": 16}, False),  # depthwise: another kernel
        ((32, 1, 3, 3), {"group": 16}, True),
    ],
)
def test_convolutions(tmp_path: Path, shape: tuple[int, ...], more: dict[str, int], overflows: bool) -> None:
    found = overflow(behind_dequantize(tmp_path / "m.onnx", "Conv", np.full(shape, 100, np.int8), **more))
    assert found.when_fused == (("layer",) if overflows else ())


def test_a_convolution_may_be_added_position_by_position(tmp_path: Path) -> None:
    """Its large weights are no neighbours channel by channel, but they are position by position."""
    weight = np.zeros((4, 2, 1, 3), np.int8)
    weight[:, :, 0, 0] = 100
    assert overflow(behind_dequantize(tmp_path / "m.onnx", "Conv", weight)).layers == ("layer",)


def test_weights_that_cannot_overflow(tmp_path: Path) -> None:
    for number, weight in enumerate((np.full((8, 4), 64, np.int8), np.full((8, 4), 255, np.uint8))):
        assert overflow(behind_dequantize(tmp_path / f"{number}.onnx", "MatMul", weight)).layers == ()
    float_layer = [node("MatMul", ["x", "w"], ["y"])]
    ports = [value("x", TensorProto.FLOAT, None)], value("y", TensorProto.FLOAT, None)
    path = write(tmp_path / "f.onnx", float_layer, {"w": np.ones((8, 4), np.float32)}, *ports)
    assert overflow(path).layers == ()


def test_after_a_transpose_neighbours_are_unknown_so_any_two_count(tmp_path: Path) -> None:
    weight = np.zeros((4, 8), np.int8)
    weight[0, 0] = 100
    moved = [node("Identity", ["wd"], ["wi"]), node("Transpose", ["wi"], ["wt"])]
    assert overflow(behind_dequantize(tmp_path / "m.onnx", "MatMul", weight, moved)).layers == ("layer",)
    assert overflow(behind_dequantize(tmp_path / "n.onnx", "MatMul", np.ascontiguousarray(weight.T))).layers == ()


def test_codes_that_are_no_constants(tmp_path: Path) -> None:
    assert overflow(in_integers(tmp_path / "m.onnx", "MatMulInteger", None)).unbounded == ("layer",)
    unsigned = [node("DynamicQuantizeLinear", ["v"], ["w", "s", "z"]), node("MatMulInteger", ["a", "w"], ["y"])]
    inputs = [value("a", TensorProto.UINT8, None), value("v", TensorProto.FLOAT, None)]
    assert overflow(write(tmp_path / "u.onnx", unsigned, {}, inputs, value("y", TensorProto.INT32, None))).layers == ()


def test_weights_that_are_quantized_when_the_model_is_loaded_count_as_the_largest(tmp_path: Path) -> None:
    nodes = [node("QuantizeLinear", ["w", "s", "z"], ["q"]), node("DequantizeLinear", ["q", "s", "z"], ["d"]),
             node("MatMul", ["x", "d"], ["y"], name="layer")]  # fmt: skip
    tensors = {"w": np.ones((8, 4), np.float32), "s": np.float32(0.1), "z": np.int8(0)}
    ports = [value("x", TensorProto.FLOAT, None)], value("y", TensorProto.FLOAT, None)
    assert overflow(write(tmp_path / "m.onnx", nodes, tensors, *ports)).when_fused == ("layer",)
    unsigned = {**tensors, "z": np.uint8(0)}
    assert overflow(write(tmp_path / "u.onnx", nodes, unsigned, *ports)).layers == ()


def test_layers_inside_others_are_found_with_weights_from_outside(tmp_path: Path) -> None:
    body = helper.make_graph([node("MatMulInteger", ["a", "w"], ["inner"], name="layer")], "body", [],
                             [value("inner", TensorProto.INT32, None)])  # fmt: skip
    nodes = [node("If", ["c"], ["y"], then_branch=body, else_branch=body)]
    inputs = [value("a", TensorProto.UINT8, None), value("c", TensorProto.BOOL, [])]
    tensors = {"w": np.full((8, 4), 127, np.int8)}
    path = write(tmp_path / "m.onnx", nodes, tensors, inputs, value("y", TensorProto.INT32, None))
    assert overflow(path).in_integers == ("layer", "layer")


@pytest.mark.process
@pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="needs qemu-x86_64 (apt-get install qemu-user)")
def test_an_emulated_cpu_without_vnni_says_the_same(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, BENCHMARK, "--output", tmp_path / "result.json"],
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
