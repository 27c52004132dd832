"""What a layer's scale may take in: only what nobody else sees, and only what a range around zero cuts off as well."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from quantization_models import FLOAT, Weights, random, write
from random_models import relative_error, run

from mlopt.compress.quantization.graph import prepare
from mlopt.compress.quantization.integers import IntegerJob, quantize
from mlopt.compress.quantization.observe import observe
from mlopt.compress.quantization.scheme import Integers, Mode, Scheme
from mlopt.data.dataset import Samples, store
from mlopt.formats.onnx.file import open_onnx, read_graph

NODE = onnx.helper.make_node
SHAPE = ["n", 8, 6, 6]
WEIGHTS: Weights = {"w1": random(8, 3, 3, 3, scale=0.2, seed=1), "w2": random(8, 8, 3, 3, scale=0.1, seed=2)}


def quantized(path: Path, folder: Path) -> Path:
    """Quantize every Conv and its activation."""
    model = open_onnx(path)
    data = store(Samples({"x": random(32, 3, 6, 6, seed=3)}), folder / "data", "test")
    (folder / "work").mkdir()
    prepared = prepare(model, folder / "work", minimum_opset=13)
    nodes = tuple(n.name for n in read_graph(prepared.path).graph.node if n.op_type in {"Conv", "Relu", "Clip"})
    ranges = observe(prepared, data, model.inputs)
    before = {name: value.range_value for name, value in ranges.items()}
    integers = Integers(Scheme.U8S8, reduce_range=False, reason="test")
    job = IntegerJob(prepared, Mode.STATIC, integers, nodes, per_channel=True, excluded={}, ranges=ranges)
    outcome = quantize(job, folder / "q.onnx")
    assert (outcome.fault, dict(outcome.left)) == (None, {})
    assert {name: value.range_value for name, value in ranges.items()} == before  # other versions need them, too
    return folder / "q.onnx"


def chain(activation: onnx.NodeProto) -> list[onnx.NodeProto]:
    return [
        NODE("Conv", ["x", "w1"], ["pre"], name="one", pads=[1, 1, 1, 1]),
        activation,
        NODE("Conv", ["post", "w2"], ["y"], name="two", pads=[1, 1, 1, 1]),
    ]


def errors(path: Path, folder: Path) -> dict[str, float]:
    feeds = {"x": random(16, 3, 6, 6, seed=4)}
    expected = run(path, feeds)
    return {
        f"{name}, optimized: {optimized}": relative_error(expected[name], values)
        for optimized in (False, True)
        for name, values in run(folder, feeds, optimized=optimized).items()
    }


@pytest.mark.parametrize("activation", ["Relu", "Clip"])
def test_an_output_before_its_activation_is_not_cut_off(tmp_path: Path, activation: str) -> None:
    bounds: Weights = {"zero": np.zeros((), np.float32)} if activation == "Clip" else {}
    nodes = chain(NODE(activation, ["pre", *bounds], ["post"], name="activation"))
    ports = [("pre", FLOAT, SHAPE), ("y", FLOAT, SHAPE)]
    path = write(tmp_path / "m.onnx", nodes, {**WEIGHTS, **bounds}, [("x", FLOAT, ["n", 3, 6, 6])], ports)
    assert max(errors(path, quantized(path, tmp_path)).values()) < 0.05


def branching(path: Path, read: str, *between: onnx.NodeProto) -> Path:
    """A chain, and an If whose bodies read one of its tensors, or what is computed from one."""
    info = onnx.helper.make_tensor_value_info
    bodies = {
        f"{name}_branch": onnx.helper.make_graph([NODE(op_type, [read], [name])], name, [], [info(name, FLOAT, None)])
        for name, op_type in (("then", "Neg"), ("else", "Exp"))
    }
    nodes = [
        *chain(NODE("Relu", ["pre"], ["post"], name="activation")),
        *between,
        NODE("ReduceSum", ["x"], ["sum"], keepdims=0),
        NODE("Greater", ["sum", "sum"], ["never"]),
        NODE("If", ["never"], ["z"], **bodies),
    ]
    ports = [("y", FLOAT, SHAPE), ("z", FLOAT, SHAPE if not between else ["m", "k"])]
    return write(path, nodes, WEIGHTS, [("x", FLOAT, ["n", 3, 6, 6])], ports)


@pytest.mark.parametrize("read", ["pre", "post"])
def test_what_an_if_reads_is_cut_off_as_it_was(tmp_path: Path, read: str) -> None:
    path = branching(tmp_path / "m.onnx", read)
    assert max(errors(path, quantized(path, tmp_path)).values()) < 0.05


@pytest.mark.parametrize("moved", ["x", "pre", "post"])
def test_what_an_if_reads_in_another_order_does_not_come_from_integers(tmp_path: Path, moved: str) -> None:
    """onnxruntime 1.32 aborts the process that loads such a model."""
    turns = [NODE("Transpose", [moved], ["turned"]), NODE("Flatten", ["turned"], ["flat"])]
    path = branching(tmp_path / "m.onnx", "flat", *turns)
    out = quantized(path, tmp_path)
    graph = read_graph(out).graph
    dequantized = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    assert not dequantized.intersection(name for n in graph.node if n.op_type == "Transpose" for name in n.input)
    assert max(errors(path, out).values()) < 0.05


@pytest.mark.parametrize(
    ("low", "high", "left"), [(0.0, 6.0, False), (-0.2, 0.2, False), (0.3, 6.0, True), (-6.0, -0.3, True)]
)
def test_a_clip_goes_where_a_range_around_zero_does_its_work(
    tmp_path: Path, low: float, high: float, left: bool
) -> None:
    bounds: Weights = {"low": np.float32(low).reshape(()), "high": np.float32(high).reshape(())}
    nodes = chain(NODE("Clip", ["pre", "low", "high"], ["post"], name="clip"))
    path = write(
        tmp_path / "m.onnx", nodes, {**WEIGHTS, **bounds}, [("x", FLOAT, ["n", 3, 6, 6])], [("y", FLOAT, SHAPE)]
    )
    out = quantized(path, tmp_path)
    assert any(node.op_type == "Clip" for node in read_graph(out).graph.node) == left
    assert max(errors(path, out).values()) < 0.05


def test_an_input_may_be_an_output_as_well(tmp_path: Path) -> None:
    nodes = chain(NODE("Relu", ["pre"], ["post"], name="activation"))
    x = ("x", FLOAT, ["n", 3, 6, 6])
    path = write(tmp_path / "m.onnx", nodes, WEIGHTS, [x], [x, ("y", FLOAT, SHAPE)])
    found = errors(path, quantized(path, tmp_path))
    assert max(found.values()) < 0.05
    assert max(error for name, error in found.items() if name.startswith("x")) == 0
