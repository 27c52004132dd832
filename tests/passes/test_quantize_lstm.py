"""LSTM in INT8: with scales that follow its input, in either mode, beside whatever else is in the graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from pass_runs import applied, outputs_of, run_pass
from quantization_models import FLOAT, cosine, random, write

from mlopt.artifact.inspection import inspect_model
from mlopt.compress.quantization import graph as graph_module
from mlopt.formats.onnx.file import read_graph
from mlopt.passes.base import Refusal
from mlopt.passes.quantize import PASS

HIDDEN, STEPS = 12, 6
SOUND = {"x": random(10, 4, 8, STEPS)}
FEED = {"x": random(3, 4, 8, STEPS, seed=7)}


def reader(path: Path, *, outputs: Sequence[str] = ("h",), head: bool = True, conv: bool = True) -> Path:
    """``x [n, 4, 8, steps]`` through Conv and Relu, read step by step by a bidirectional LSTM, then a Gemm."""
    node = helper.make_node
    nodes = [node("Conv", ["x", "w1", "b1"], ["c"], name="conv", pads=[1, 1, 1, 1]), node("Relu", ["c"], ["r"])]
    nodes = nodes if conv else [node("Relu", ["x"], ["r"])]
    nodes += [
        node("Reshape", ["r", "flat"], ["f"]),
        node("Transpose", ["f"], ["t"], perm=[2, 0, 1]),
        node("LSTM", ["t", "w", "u", "b"], list(outputs), name="lstm", direction="bidirectional", hidden_size=HIDDEN),
        node("Transpose", [next(filter(None, outputs))], ["s"], perm=[1, 0, 2] if outputs[0] == "" else [2, 0, 1, 3]),
        node("Reshape", ["s", "row"], ["y0"]),
    ]
    width = 2 * HIDDEN if outputs[0] == "" else 2 * HIDDEN * STEPS
    nodes.append(node("Gemm", ["y0", "w2", "b2"], ["y"], name="head") if head else node("Identity", ["y0"], ["y"]))
    weights: dict[str, Any] = {
        "w1": random(4, 4, 3, 3, seed=1), "b1": random(4, seed=2), "w": random(2, 4 * HIDDEN, 32, scale=0.2, seed=3),
        "u": random(2, 4 * HIDDEN, HIDDEN, scale=0.2, seed=4), "b": random(2, 8 * HIDDEN, scale=0.2, seed=5),
        "w2": random(width, 5, seed=6), "b2": random(5, seed=8),
        "flat": np.array([0, 32, STEPS]), "row": np.array([-1, width]),
    }  # fmt: skip
    used = {name for each in nodes for name in each.input}
    weights = {name: value for name, value in weights.items() if name in used}
    ports = [("x", FLOAT, ["n", 4, 8, STEPS])]
    return write(path, nodes, weights, ports, [("y", FLOAT, ["n", 5 if head else width])])


def kinds(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in read_graph(path).graph.node)


@pytest.mark.parametrize("outputs", [("h",), ("", "last"), ("h", "last", "cell")])
def test_it_is_quantized_beside_calibrated_layers(tmp_path: Path, outputs: tuple[str, ...]) -> None:
    model = reader(tmp_path / "m.onnx", outputs=outputs)
    result = applied(run_pass(PASS, model, {"mode": "static"}, tmp_path, calibration=SOUND))
    assert (result.notes["quantized"], result.notes["left_alone"]) == (3, {})
    assert kinds(result.path)["DynamicQuantizeLSTM"] == 1
    assert kinds(result.path)["LSTM"] == 0
    assert cosine(outputs_of(result.path, FEED)["y"], outputs_of(model, FEED)["y"]) > 0.99


def test_it_is_quantized_where_weights_are_beside_the_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_module, "EXTERNAL_DATA_ABOVE", 0)
    model = reader(tmp_path / "m.onnx")
    result = applied(run_pass(PASS, model, {"mode": "static"}, tmp_path, calibration=SOUND))
    assert result.notes["quantized"] == 3
    assert cosine(outputs_of(result.path, FEED)["y"], outputs_of(model, FEED)["y"]) > 0.99


def test_what_it_reads_and_writes_stays_in_floating_point(tmp_path: Path) -> None:
    result = applied(run_pass(PASS, reader(tmp_path / "m.onnx"), {"mode": "static"}, tmp_path, calibration=SOUND))
    graph = read_graph(result.path).graph
    lstm = next(node for node in graph.node if node.op_type == "DynamicQuantizeLSTM")
    readers = {node.op_type for node in graph.node if lstm.output[0] in node.input}
    assert readers == {"Transpose"}


def test_alone_it_takes_dynamic_mode(tmp_path: Path) -> None:
    model = reader(tmp_path / "m.onnx", head=False, conv=False)
    refused = run_pass(PASS, model, {"mode": "static"}, tmp_path, calibration=SOUND)
    assert isinstance(refused, Refusal)
    assert refused.reason.endswith("only with scales that follow its input: use mode dynamic")
    weights = run_pass(PASS, model, {"mode": "weight_only"}, tmp_path, calibration=SOUND)
    assert isinstance(weights, Refusal)
    assert weights.reason.endswith("and there are none here: use mode dynamic")
    result = applied(run_pass(PASS, model, {"mode": "dynamic"}, tmp_path))
    assert (result.notes["quantized"], result.notes["quantizable"]) == (1, 1)
    assert cosine(outputs_of(result.path, FEED)["y"], outputs_of(model, FEED)["y"]) > 0.99


def test_one_that_is_excluded_stays(tmp_path: Path) -> None:
    config = {"mode": "static", "exclude": ["lstm"]}
    result = applied(run_pass(PASS, reader(tmp_path / "m.onnx"), config, tmp_path, calibration=SOUND))
    assert result.notes["left_alone"] == {"lstm": "excluded by 'lstm'"}
    assert kinds(result.path)["LSTM"] == 1


def test_a_step_that_quantizes_nothing_else_quantizes_nothing_else(tmp_path: Path) -> None:
    config = {"mode": "static", "exclude": ["conv", "head"]}
    result = applied(run_pass(PASS, reader(tmp_path / "m.onnx"), config, tmp_path, calibration=SOUND))
    assert (result.notes["quantized"], kinds(result.path)["QuantizeLinear"]) == (1, 0)


def test_other_modes_say_why_they_leave_it(tmp_path: Path) -> None:
    model = reader(tmp_path / "m.onnx")
    weights = applied(run_pass(PASS, model, {"mode": "weight_only"}, tmp_path, calibration=SOUND))
    assert weights.notes["left_alone"]["lstm"] == "onnxruntime has no weight-only LSTM"
    tensorrt = {"mode": "static", "placement": "tensorrt"}
    placed = applied(run_pass(PASS, model, tensorrt, tmp_path, calibration=SOUND))
    assert placed.notes["left_alone"] == {"lstm": "TensorRT has no LSTM in INT8"}


def test_a_model_with_one_in_int8_counts_as_quantized_and_is_inspected(tmp_path: Path) -> None:
    model = reader(tmp_path / "m.onnx")
    result = applied(run_pass(PASS, model, {"mode": "dynamic"}, tmp_path))
    again = run_pass(PASS, result.path, {"mode": "dynamic"}, tmp_path)
    assert isinstance(again, Refusal)
    assert "DynamicQuantizeLSTM" in again.reason
    before, after = inspect_model(model), inspect_model(result.path)
    assert (before.precision.total, set(before.precision.floats)) == (3, {"conv", "lstm", "head"})
    assert "lstm_quant" in after.precision.integers
    assert before.macs is not None
    assert after.macs == before.macs


@pytest.mark.parametrize("mode", ["static", "dynamic"])
@pytest.mark.parametrize("outputs", [("h",), ("", "last")])
@pytest.mark.parametrize("tied", [False, True])
def test_several_are_quantized_also_if_they_share_weights(
    tmp_path: Path, mode: str, outputs: tuple[str, ...], tied: bool
) -> None:
    node = helper.make_node
    names = [[f"{name}{number}" if name else "" for name in outputs] for number in (1, 2)]
    weights: dict[str, Any] = {"v": random(HIDDEN, 5, seed=6)}
    nodes = []
    for number, written in enumerate(names, 1):
        own = "" if tied else str(number)
        weights |= {f"w{own}": random(1, 4 * HIDDEN, 8, scale=0.2, seed=number),
                    f"u{own}": random(1, 4 * HIDDEN, HIDDEN, scale=0.2, seed=number + 5)}  # fmt: skip
        nodes.append(node("LSTM", ["x", f"w{own}", f"u{own}"], written, name=f"lstm{number}", hidden_size=HIDDEN))
    one, other = (next(filter(None, written)) for written in names)
    nodes += [node("Add", [one, other], ["s"], name="sum"), node("MatMul", ["s", "v"], ["y"], name="head")]
    shape = [1, 1, 5] if outputs[0] == "" else [STEPS, 1, 1, 5]
    model = write(tmp_path / "m.onnx", nodes, weights, [("x", FLOAT, [STEPS, 1, 8])], [("y", FLOAT, shape)])
    data = {"x": random(6, STEPS, 1, 8)}
    result = applied(run_pass(PASS, model, {"mode": mode}, tmp_path, calibration=data))
    assert (result.notes["quantized"], result.notes["left_alone"]) == (3, {})
    assert len(result.notes["remarks"]) == (2 if tied else 0)
    feed = {"x": data["x"][0]}
    assert cosine(outputs_of(result.path, feed)["y"], outputs_of(model, feed)["y"]) > 0.99


def test_tensorrt_is_told_of_its_own_limit(tmp_path: Path) -> None:
    model = reader(tmp_path / "m.onnx", head=False, conv=False)
    refused = run_pass(PASS, model, {"mode": "static", "placement": "tensorrt"}, tmp_path, calibration=SOUND)
    assert refused == Refusal("TensorRT has no LSTM in INT8")
