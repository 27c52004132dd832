"""INT8 on another CPU: which operators overflow without VNNI, and whether mlopt opens models so that none does.

python benchmarks/other_cpu.py        # half a minute; needs qemu-x86_64 (Debian: qemu-user), exits 1 if a row is wrong

QEMU gives one process a Haswell: AVX2 and no VNNI, with the saturating additions that such CPUs have. Every graph is
run there three times: plainly, in ONNX Runtime's exact mode, and as mlopt opens it; what is right is what this CPU
computes, which must have VNNI. ``mlopt.onnx_int8`` rests on this table; it goes to benchmarks/results/other_cpu.json.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
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

RESULT = Path(__file__).parent / "results/other_cpu.json"
HASWELL = "flags : lm sse4_1 sse4_2 avx f16c fma avx2\nmodel name : emulated Haswell\n"
WRONG = 0.02
"""Relative error from which on a result is wrong: half a step of an INT8 output is far below."""
K, N = 64, 16
Array = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """A graph whose weights are as large as they can be, and the input that adds most."""

    name: str
    model: onnx.ModelProto
    feeds: Mapping[str, Array]


def main() -> None:
    """Run all cases here and on the emulated CPU, and hold what came out against each other."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--output", type=Path, default=RESULT, help="where the table goes, as JSON")
    arguments.add_argument("--emulated", type=Path, help="(the emulated process) the folder with the graphs")
    asked = arguments.parse_args()
    if asked.emulated is not None:
        _emulated(asked.emulated)
        return
    emulator = shutil.which("qemu-x86_64")
    if emulator is None:
        sys.exit("qemu-x86_64 is missing: apt-get install qemu-user")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wanted = {case.name: _written(case, number, folder) for number, case in enumerate(cases())}
        command = [emulator, "-cpu", "Haswell", sys.executable, __file__, "--emulated", name]
        path = os.pathsep.join(filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH"))))
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
        )
        if done.returncode:
            sys.exit(f"the emulated process failed: {done.stderr[-2000:]}")
        rows = [_row(name, number, expected, folder) for number, (name, expected) in enumerate(wanted.items())]
    for row in rows:
        print("  ".join(f"{row[key]!s:24.24}" for key in row))
    asked.output.write_text(json.dumps({"emulated": "Haswell (QEMU)", "rows": rows}, indent=1) + "\n", encoding="utf-8")
    sys.exit(0 if all(row["good"] for row in rows) else 1)


def _written(case: Case, number: int, folder: Path) -> Array:
    """Write a case for the other process, and return what is right: what this CPU computes, if it adds in 32 bits."""
    from mlopt.hardware import detect_cpu

    if detect_cpu().adds_in_16_bits:
        sys.exit("this CPU has no VNNI itself, so it cannot say what is right")
    onnx.save(case.model, folder / f"{number}.onnx")
    np.savez(folder / f"{number}.npz", **case.feeds)
    return _run(folder / f"{number}.onnx", case.feeds, {})


def _emulated(folder: Path) -> None:
    """Run every case, on the CPU that QEMU makes."""
    from mlopt.errors import ModelError
    from mlopt.hardware import parse
    from mlopt.onnx_file import open_onnx
    from mlopt.onnx_int8 import EXACT
    from mlopt.runtimes import RuntimeOptions, exact, onnxruntime, open_session

    haswell = parse(HASWELL, cores=2, memory_bytes=1 << 30)
    exact.detect_cpu = lambda: haswell  # type: ignore[assignment]  # /proc/cpuinfo is still the real CPU's
    for path in sorted(folder.glob("*.onnx")):
        feeds = dict(np.load(path.with_suffix(".npz")))
        found = {"plain": _run(path, feeds, {})}
        with contextlib.suppress(*onnxruntime.runtime_errors()):  # it cannot load every graph
            found["exact"] = _run(path, feeds, EXACT)
        try:
            with open_session(open_onnx(path), RuntimeOptions(threads=1)) as session:
                found["mlopt"] = next(iter(session.run(feeds).values()))
        except ModelError as error:
            path.with_suffix(".txt").write_text(error.problems[0].what, encoding="utf-8")
        np.savez(path.with_suffix(".out.npz"), **found)


def _run(path: Path, feeds: Mapping[str, Array], entries: Mapping[str, str]) -> Array:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    for key, value in entries.items():
        options.add_session_config_entry(key, value)
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, dict(feeds))[0])


def _row(name: str, number: int, expected: Array, folder: Path) -> dict[str, Any]:
    from mlopt.onnx_int8 import overflow

    found = np.load(folder / f"{number}.out.npz")
    errors = {key: round(_error(expected, found[key]), 4) for key in found.files}
    refused = folder / f"{number}.txt"
    layers = overflow(folder / f"{number}.onnx").layers
    foreseen = bool(layers) or errors["plain"] < WRONG
    right = refused.exists() or errors["mlopt"] < WRONG
    return {
        "case": name, "plain": errors["plain"], "exact": errors.get("exact", "does not load"),
        "mlopt": errors.get("mlopt", "refused"),
        "said to overflow": bool(layers), "good": foreseen and right,
    }  # fmt: skip


def _error(expected: Array, got: Array) -> float:
    wanted = expected.astype(np.float64)
    return float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))


def cases() -> Iterator[Case]:
    """Yield every way in which ONNX Runtime multiplies in 8 bits, with constant weights and without."""
    yield from _behind_dequantize()
    yield from _in_integers()
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
    from mlopt.data.dataset import Samples, store
    from mlopt.hardware import detect_cpu
    from mlopt.onnx_file import open_onnx
    from mlopt.passes.base import Context, PassResult
    from mlopt.passes.quantize import PASS
    from mlopt.target import Objective, Target

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


if __name__ == "__main__":
    main()
