"""No pass writes a zero point that two layers read: ONNX Runtime's exact mode could not load it."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto
from pass_runs import applied, run_pass
from quantization_models import FLOAT, random, write

from mlopt.formats.onnx.file import read_graph
from mlopt.passes.table import table

X = random(8, 16, seed=3)


def zero_points(path: Path) -> list[str]:
    """Return what the layers of a file read as the zero points of their weights."""
    graph = read_graph(path).graph
    codes = {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.INT8}
    places = {"DequantizeLinear": (0, 2), "QLinearMatMul": (3, 5), "MatMulIntegerToFloat": (1, 5),
              "MatMulInteger": (1, 3), "DynamicQuantizeMatMul": (1, 3)}  # fmt: skip
    found = ((n, places[n.op_type]) for n in graph.node if n.op_type in places)
    return [n.input[at[1]] for n, at in found if n.input[at[0]] in codes and len(n.input) > at[1]]


@pytest.mark.parametrize("mode", ["static", "dynamic"])
@pytest.mark.parametrize("after", [(), ("simplify",), ("fuse",), ("simplify", "fuse")])
def test_every_layer_has_its_own(mode: str, after: tuple[str, ...], tmp_path: Path) -> None:
    node = onnx.helper.make_node
    nodes = [
        node("MatMul", ["x", "w1"], ["a"]), node("Relu", ["a"], ["b"]), node("MatMul", ["b", "w2"], ["c"]),
        node("Relu", ["c"], ["d"]), node("MatMul", ["d", "w3"], ["y"]),
    ]  # fmt: skip
    weights = {name: random(16, 16, scale=0.2, seed=seed) for seed, name in enumerate(("w1", "w2", "w3"))}
    path = write(tmp_path / "m.onnx", nodes, weights, [("x", FLOAT, ["n", 16])], [("y", FLOAT, ["n", 16])])
    config = {"mode": mode, "scheme": "u8s8"}
    path = applied(run_pass(table()["quantize"], path, config, tmp_path, calibration={"x": X}, samples={"x": X})).path
    for name in after:
        path = applied(run_pass(table()[name], path, {}, tmp_path, samples={"x": X})).path
    found = zero_points(path)
    assert len(found) == 3
    assert len(set(found)) == 3
