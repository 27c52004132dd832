"""What ran, in which precision, and how long, by the names of the model's own nodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper
from openvino_models import FLOAT, agree, graph, needed
from quantization_models import cnn

from mlopt.formats.onnx.file import open_onnx
from mlopt.results.timing import Layer
from mlopt.runtimes import openvino as adapter
from mlopt.runtimes.openvino_options import OpenVinoOptions
from mlopt.runtimes.openvino_profile import Nodes, precisions_of


@needed
def test_quantized_layers_run_in_integers(tmp_path: Path) -> None:
    held = {
        "s": np.array(0.05, np.float32), "z": np.array(128, np.uint8), "t": np.array(0.02, np.float32),
        "w": np.random.default_rng(0).integers(-127, 128, (16, 16, 3, 3)).astype(np.int8), "o": np.array(0, np.int8),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "t", "o"], ["v"]),
        helper.make_node("Conv", ["d", "v"], ["y"], name="conv"),
    ]
    model = graph(tmp_path / "m.onnx", nodes, {"x": (FLOAT, ["n", 16, 8, 8])}, {"y": FLOAT}, **held)
    x = np.random.default_rng(1).normal(size=(2, 16, 8, 8)).astype(np.float32)
    agree(model, {"x": x}, tolerance=1e-4)
    (layer,) = [each for each in adapter.layers(model, OpenVinoOptions(threads=1)) if each.op_type == "Convolution"]
    assert layer.precision == "u8"
    assert Nodes.of(onnx.load(model.path).graph).told(layer.made_of) == ("conv", "Conv")


@needed
def test_a_profile_names_the_nodes_of_the_model(tmp_path: Path) -> None:
    model = open_onnx(cnn(tmp_path / "m.onnx"))
    feed = {"image": np.ones((2, 3, 8, 8), np.float32)}
    found = adapter.profile(model, OpenVinoOptions(threads=1), iter(lambda: feed, None), 0.01)
    types = {node.name: node.op_type for node in found}
    assert {"first": "Conv", "second": "Conv", "head": "Gemm"}.items() <= types.items()
    assert all(node.ms >= 0 for node in found)
    assert sum(node.ms for node in found) > 0


@needed
def test_a_profile_says_in_which_precision_a_node_ran(tmp_path: Path) -> None:
    model = open_onnx(cnn(tmp_path / "m.onnx"))
    feed = {"image": np.ones((2, 3, 8, 8), np.float32)}
    options = OpenVinoOptions(threads=1)
    found = adapter.profile(model, options, iter(lambda: feed, None), 0.01)
    assert (
        {node.precision for node in found} == {layer.precision for layer in adapter.layers(model, options)} == {"f32"}
    )


def test_of_several_layers_of_one_node_its_own_tells() -> None:
    layers = [
        Layer("conv/WithoutBiases", "Convolution", "u8", "", ("conv",)), Layer("conv", "Eltwise", "f32", "", ("conv",)),
        Layer("relu/x", "Eltwise", "bf16", "", ("relu",)), Layer("relu/y", "Eltwise", "f32", "", ("relu",)),
        Layer("order", "Reorder", "f32", "", ()),
    ]  # fmt: skip
    named = {each.name: (each.made_of[0], "Op") for each in layers if each.made_of}
    assert precisions_of(layers, named) == {"conv": "f32", "relu": "bf16", "order": "f32"}
