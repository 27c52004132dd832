"""The graphs of ``other_cpu.py``: every way in which ONNX Runtime multiplies in 8 bits."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto as T
from onnx import helper, numpy_helper

K, N = 64, 16
Array = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """A graph whose weights are as large as they can be, and the input that adds most."""

    name: str
    model: onnx.ModelProto
    feeds: Mapping[str, Array]


def cases() -> Iterator[Case]:
    """Yield every way in which ONNX Runtime multiplies in 8 bits, with constant weights and without."""
    yield from _behind_dequantize()
    yield from _in_integers()
    yield from _sharing()
    yield from _made_by_mlopt()


def _behind_dequantize() -> Iterator[Case]:
    dense, wide = _full(K, N), np.ones((2, K), np.float32)
    image = np.ones((1, 32, 6, 6), np.float32)
    for signed in (False, True):
        act = "s8" if signed else "u8"
        yield _qdq(f"MatMul, {act} activations", "MatMul", dense, wide, 1, signed=signed)
        yield _qdq(f"MatMul, {act}, FP32 result", "MatMul", dense, wide, 1, signed=signed, rounded=False)
        yield _qdq(f"Conv, {act} activations", "Conv", _full(N, 32, 3, 3), image, 0, signed=signed)
    yield _qdq("MatMul, 7-bit weights", "MatMul", np.full((K, N), 64, np.int8), wide, 1)
    yield _qdq("MatMul, unsigned weights", "MatMul", np.full((K, N), 255, np.uint8), wide, 1)
    yield _qdq("Gemm", "Gemm", dense, wide, 1)
    yield _qdq("Gemm, transB", "Gemm", _full(N, K), wide, 0, transB=1)
    yield _qdq("Conv, 4 groups", "Conv", _full(32, 8, 3, 3), image, 0, group=4)
    yield _qdq("Conv, depthwise", "Conv", _full(32, 1, 3, 3), image, 0, group=32)
    yield _qdq("Conv, depthwise, 2 kernels", "Conv", _full(64, 1, 3, 3), image, 0, group=32)
    yield _qdq("Conv, one axis", "Conv", _full(N, 32, 3), image[:, :, 0], 0)
    yield _products("two activations, u8 and s8", signed=False)
    yield _products("two activations, s8 and s8", signed=True)


def _in_integers() -> Iterator[Case]:
    node, dense = helper.make_node, _full(K, N)
    codes, wide, image = (
        np.full((2, K), 255, np.uint8),
        np.ones((2, K), np.float32),
        np.full((1, 32, 6, 6), 255, np.uint8),
    )
    given = [_value("a", T.UINT8, ["n", K])]
    kernel = _full(N, 32, 3, 3)
    weight = {"w": dense, "ws": np.full(N, 0.01, np.float32), "wz": np.zeros(N, np.int8)}
    scaled = {**weight, "as": np.float32(1 / 255), "az": np.uint8(0)}
    steps = {"ys": np.float32(1), "yz": np.uint8(0)}
    ms = {"domain": "com.microsoft"}
    yield _case("MatMulInteger", [node("MatMulInteger", ["a", "w"], ["y"])], given, {"w": dense}, {"a": codes}, T.INT32)
    yield _case("MatMulInteger, signed input", [node("MatMulInteger", ["a", "w"], ["y"])],
                [_value("a", T.INT8, ["n", K])], {"w": dense}, {"a": _full(2, K)}, T.INT32)  # fmt: skip
    yield _case("MatMulInteger, weights given", [node("MatMulInteger", ["a", "w"], ["y"])],
                [*given, _value("w", T.INT8, [K, N])], {}, {"a": codes, "w": dense}, T.INT32)  # fmt: skip
    yield _case("ConvInteger", [node("ConvInteger", ["a", "w"], ["y"])], [_value("a", T.UINT8, ["n", 32, 6, 6])],
                {"w": kernel}, {"a": image}, T.INT32)  # fmt: skip
    yield _case("DynamicQuantizeMatMul", [node("DynamicQuantizeMatMul", ["x", "w", "ws", "wz"], ["y"], **ms)],
                [_value("x", T.FLOAT, ["n", K])], weight, {"x": wide})  # fmt: skip
    yield _case("MatMulIntegerToFloat",
                [node("MatMulIntegerToFloat", ["a", "w", "as", "ws", "az", "wz"], ["y"], **ms)], given, scaled,
                {"a": codes})  # fmt: skip
    yield _case("QLinearMatMul", [node("QLinearMatMul", ["a", "as", "az", "w", "ws", "wz", "ys", "yz"], ["y"])], given,
                {**scaled, **steps}, {"a": codes}, T.UINT8)  # fmt: skip
    yield _case("QGemm", [node("QGemm", ["a", "as", "az", "w", "ws", "wz"], ["y"], **ms)], given, scaled, {"a": codes})
    yield _case("QLinearConv", [node("QLinearConv", ["a", "as", "az", "w", "ws", "wz", "ys", "yz"], ["y"])],
                [_value("a", T.UINT8, ["n", 32, 6, 6])], {**scaled, **steps, "w": kernel, "ys": np.float32(2)},
                {"a": image}, T.UINT8)  # fmt: skip
    for bits in (4, 8):
        packed = np.full((N, K // 32, 32 * bits // 8), 255, np.uint8)
        settings = {"K": K, "N": N, "bits": bits, "block_size": 32, "accuracy_level": 4}
        yield _case(f"MatMulNBits, {bits} bits", [node("MatMulNBits", ["x", "w", "ws"], ["y"], **settings, **ms)],
                    [_value("x", T.FLOAT, ["n", K])], {"w": packed, "ws": np.full(2 * N, 0.01, np.float32)},
                    {"x": wide})  # fmt: skip
    zeros = {"z": np.zeros(1, np.int8), "z2": np.zeros(1, np.int8)}
    small = {"s": np.float32([1e-4]), "W": _full(1, K, 64), "R": _full(1, 16, 64)}
    for name, zero in (("DynamicQuantizeLSTM", "z2"), ("DynamicQuantizeLSTM, one zero point", "z")):
        ports = ["x", "W", "R", "", "", "", "", "", "s", "z", "s", zero]
        yield _case(name, [node("DynamicQuantizeLSTM", ports, ["y"], hidden_size=16, **ms)],
                    [_value("x", T.FLOAT, [5, 1, K])], {**small, "z": zeros["z"], zero: zeros[zero]},
                    {"x": np.ones((5, 1, K), np.float32)})  # fmt: skip


def _sharing() -> Iterator[Case]:
    """Yield two layers that read one constant, which the exact mode alone refuses; and scales without zero points."""
    node, codes = helper.make_node, _full(K, N)
    same = {"v": "w", "vz": "wz", "vs": "ws"}
    for said, shared, places in (
        ("zero point", ("vz",), 3),
        ("weight", ("v",), 3),
        ("weight and zero point", ("v", "vz"), 3),
        ("DequantizeLinear", ("v", "vz", "vs"), 3),
        ("nothing, no zero points", (), 2),
    ):
        names = {name: same[name] if name in shared else name for name in same}
        second = [names["v"], names["vs"], names["vz"]]
        scales = {"ws": np.full(N, 0.01, np.float32), "vs": np.full(N, 0.02, np.float32)}
        zeros = {"wz": np.zeros(N, np.int8), "vz": np.zeros(N, np.int8)}
        constants = {"xs": np.float32(1 / 255), "xz": np.uint8(0), "w": codes, "v": codes - 1, **scales, **zeros}
        nodes = [
            node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]), node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"]),
            node("DequantizeLinear", ["w", "ws", "wz"][:places], ["wd"], axis=1),
            node("DequantizeLinear", second[:places], ["vd"], axis=1),
            node("MatMul", ["xd", "wd"], ["a"]), node("MatMul", ["xd", "wd" if len(shared) > 2 else "vd"], ["b"]),
            node("Relu", ["b"], ["r"]), node("Add", ["a", "r"], ["y"]),
        ]  # fmt: skip
        wide = {"x": np.ones((2, K), np.float32)}
        yield _case(f"shared: {said}", nodes, [_value("x", T.FLOAT, ["n", K])], constants, wide)
    products = [node("MatMulInteger", ["a", "w", "", "wz"], ["b"]), node("MatMulInteger", ["c", "w", "", "wz"], ["d"]),
                node("Add", ["b", "d"], ["y"])]  # fmt: skip
    given = [_value(name, T.UINT8, ["n", K]) for name in ("a", "c")]
    large = {name: np.full((2, K), 255, np.uint8) for name in ("a", "c")}
    yield _case("shared: MatMulInteger", products, given, {"w": codes, "wz": np.int8(0)}, large, T.INT32)
    ports = ["x", "W", "R", "", "", "", "", "", "s", "z", "s", "z"]
    small = {"s": np.float32([1e-4]), "z": np.zeros(1, np.int8), "W": _full(1, K, 64), "R": _full(1, 16, 64)}
    lstm = node("DynamicQuantizeLSTM", ports, ["y"], hidden_size=16, domain="com.microsoft")
    wide = {"x": np.ones((5, 1, K), np.float32)}
    yield _case("shared: LSTM", [lstm], [_value("x", T.FLOAT, [5, 1, K])], small, wide)


def _made_by_mlopt() -> Iterator[Case]:
    """Yield what the pass ``quantize`` makes here of a small CNN and a small perceptron, as it is and portable."""
    random = np.random.default_rng(0)
    node = helper.make_node
    cnn = [node("Conv", ["x", "k"], ["c"], name="conv"), node("Relu", ["c"], ["r"]),
           node("GlobalAveragePool", ["r"], ["p"]), node("Flatten", ["p"], ["f"]),
           node("MatMul", ["f", "m"], ["y"], name="head")]  # fmt: skip
    weights = {"k": np.full((N, 8, 3, 3), 0.1, np.float32), "m": np.full((N, 4), 0.1, np.float32)}
    image = random.uniform(0.8, 1, (8, 8, 6, 6)).astype(np.float32)
    mlp = [node("MatMul", ["x", "k"], ["h"], name="first"), node("Relu", ["h"], ["r"]),
           node("MatMul", ["r", "m"], ["y"], name="second")]  # fmt: skip
    rows = random.uniform(0.8, 1, (8, K)).astype(np.float32)
    of_mlp = {"k": np.full((K, N), 0.1, np.float32), "m": weights["m"]}
    for portable in (False, True):
        said = "portable" if portable else "as made with VNNI"
        source = _case("", cnn, [_value("x", T.FLOAT, ["n", 8, 6, 6])], weights, {"x": image})
        yield Case(f"static, {said}", _quantized(source, "static", portable=portable), source.feeds)
        source = _case("", mlp, [_value("x", T.FLOAT, ["n", K])], of_mlp, {"x": rows})
        yield Case(f"dynamic, {said}", _quantized(source, "dynamic", portable=portable), source.feeds)


def _quantized(case: Case, mode: str, *, portable: bool) -> onnx.ModelProto:
    from mlopt.core.hardware import detect_cpu
    from mlopt.core.target import Objective, Target
    from mlopt.data.dataset import Samples, store
    from mlopt.formats.onnx.file import open_onnx
    from mlopt.passes.base import Context, PassResult
    from mlopt.passes.quantize import PASS

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        onnx.save(case.model, folder / "source.onnx")
        samples = store(Samples(case.feeds), folder / "data", "made up")
        (folder / "out").mkdir()
        context = Context(folder / "out", Target(threads=1), Objective.LATENCY, detect_cpu(), samples, samples)
        config = PASS.config(mode=mode, portable=portable)
        result = PASS.run(open_onnx(folder / "source.onnx"), config, context)
        if not isinstance(result, PassResult):
            sys.exit(f"{mode}: {result.reason}")
        return onnx.load(result.path)


def _qdq(
    name: str, op: str, weight: Array, x: Array, axis: int, *, signed: bool = False, rounded: bool = True, **more: int
) -> Case:
    """Make a layer between Q/DQ pairs; its activations reach the largest code."""
    node, channels = helper.make_node, weight.shape[axis]
    code = np.int8 if signed else np.uint8
    largest = 127 if signed else 255
    total = 0.01 * float(np.abs(weight.astype(np.int64)).max()) * weight.size / channels
    constants = {
        "xs": np.float32(1 / largest), "xz": code(0), "ys": np.float32(total / largest), "yz": code(0), "w": weight,
        "ws": np.full(channels, 0.01, np.float32), "wz": np.zeros(channels, weight.dtype),
    }  # fmt: skip
    nodes = [
        node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]), node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"]),
        node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=axis),
        node(op, ["xd", "wd"], ["layer" if rounded else "y"], **more),
    ]  # fmt: skip
    if rounded:
        nodes += [node("QuantizeLinear", ["layer", "ys", "yz"], ["yq"]),
                  node("DequantizeLinear", ["yq", "ys", "yz"], ["y"])]  # fmt: skip
    return _case(name, nodes, [_value("x", T.FLOAT, ["n", *x.shape[1:]])], constants, {"x": x})


def _products(name: str, *, signed: bool) -> Case:
    node, first = helper.make_node, np.int8 if signed else np.uint8
    largest = 127 if signed else 255
    constants = {"xs": np.float32(1 / largest), "xz": first(0), "vs": np.float32(1 / 127), "vz": np.int8(0),
                 "ys": np.float32(K / largest), "yz": first(0)}  # fmt: skip
    pairs = [each for a, q in (("x", "x"), ("v", "v"))
             for each in (node("QuantizeLinear", [a, f"{q}s", f"{q}z"], [f"{a}q"]),
                          node("DequantizeLinear", [f"{a}q", f"{q}s", f"{q}z"], [f"{a}d"]))]  # fmt: skip
    nodes = [*pairs, node("MatMul", ["xd", "vd"], ["h"]), node("QuantizeLinear", ["h", "ys", "yz"], ["hq"]),
             node("DequantizeLinear", ["hq", "ys", "yz"], ["y"])]  # fmt: skip
    given = [_value("x", T.FLOAT, ["n", K]), _value("v", T.FLOAT, [K, N])]
    return _case(name, nodes, given, constants, {"x": np.ones((2, K), np.float32), "v": np.ones((K, N), np.float32)})


def _case(
    name: str, nodes: Sequence[onnx.NodeProto], given: Sequence[onnx.ValueInfoProto], constants: Mapping[str, Any],
    feeds: Mapping[str, Array], result: int = T.FLOAT,
) -> Case:  # fmt: skip
    tensors = [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()]
    graph = helper.make_graph(nodes, "g", given, [_value("y", result, None)], tensors)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return Case(name, helper.make_model(graph, opset_imports=opsets, ir_version=8), feeds)


def _full(*shape: int) -> NDArray[np.int8]:
    return np.full(shape, 127, np.int8)


_value: Callable[..., onnx.ValueInfoProto] = helper.make_tensor_value_info
