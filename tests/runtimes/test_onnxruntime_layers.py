"""What ONNX Runtime made of a model: its operators, the types that they compute in, and the nodes that are in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from branching import written
from onnx import TensorProto, helper
from openvino_models import FLOAT, graph
from quantization_models import cnn, random

from mlopt.core.errors import ModelError
from mlopt.formats.model import Model
from mlopt.formats.onnx.file import open_onnx
from mlopt.formats.onnx.graph import nodes as every_node
from mlopt.formats.onnx.save import save_model
from mlopt.results.timing import Layer
from mlopt.runtimes.onnxruntime import layers
from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions

PLAIN = OnnxRuntimeOptions(threads=1, graph_optimization="none")
WHOLE = OnnxRuntimeOptions(threads=1)
PAIR = {"s": np.array(0.05, np.float32), "z": np.array(128, np.uint8)}
WEIGHT = {"t": np.array(0.02, np.float32), "o": np.array(0, np.int8)}


def of(found: list[Layer], operator: str) -> Layer:
    (one,) = [each for each in found if each.op_type == operator]
    return one


def around(operator: str, *inputs: str, **attributes: object) -> list[onnx.NodeProto]:
    """One operator between Q/DQ pairs: ``x`` to ``y``."""
    node = helper.make_node
    return [
        node("QuantizeLinear", ["x", "s", "z"], ["q"], name="q"),
        node("DequantizeLinear", ["q", "s", "z"], ["d"], name="d"),
        node(operator, ["d", *inputs], ["r"], name="node", **attributes),
        node("QuantizeLinear", ["r", "s", "z"], ["rq"], name="rq"),
        node("DequantizeLinear", ["rq", "s", "z"], ["y"], name="y"),
    ]


def test_a_graph_that_is_left_as_it_is_has_a_layer_for_each_node(tmp_path: Path) -> None:
    model = open_onnx(cnn(tmp_path / "m.onnx"))
    found = layers(model, PLAIN)
    assert [each.op_type for each in found] == [node.op_type for node in onnx.load(model.path).graph.node]
    assert all(len(each.made_of) == 1 and each.precision == "f32" and not each.kernel for each in found)
    assert found[0].made_of == ("first",)


def test_what_is_fused_is_in_one_layer_by_the_names_of_the_model(tmp_path: Path) -> None:
    model = open_onnx(cnn(tmp_path / "m.onnx"))
    extended = layers(model, OnnxRuntimeOptions(threads=1, graph_optimization="extended"))
    convolutions = [each for each in extended if "Conv" in each.op_type]
    assert [each.made_of for each in convolutions] == [("first", "r1"), ("second", "r2")]
    for level in (extended, layers(model, WHOLE)):
        assert "Relu" not in {each.op_type for each in level}
        assert sum("Conv" in each.op_type for each in level) == 2
        assert {each.precision for each in level} == {"f32"}
        assert of(level, "Gemm").made_of[-1] == "head"


def test_kernels_of_other_domains_are_told(tmp_path: Path) -> None:
    found = layers(open_onnx(cnn(tmp_path / "m.onnx")), WHOLE)
    laid_out = [each for each in found if each.op_type == "Conv"]
    assert laid_out
    assert all(each.kernel == "com.microsoft.nchwc::Conv" and each.made_of[0] in {"first", "second"}
               for each in laid_out)  # fmt: skip


@pytest.mark.parametrize("level", ["extended", "all"])
def test_a_quantized_layer_computes_in_integers_and_holds_its_pairs(tmp_path: Path, level: str) -> None:
    weight = np.ones((8, 8), np.int8)
    nodes = [helper.make_node("DequantizeLinear", ["w", "t", "o"], ["v"], name="v"), *around("MatMul", "v")]
    model = graph(tmp_path / "m.onnx", nodes, {"x": (FLOAT, ["n", 8])}, {"y": FLOAT}, w=weight, **PAIR, **WEIGHT)
    found = layers(model, OnnxRuntimeOptions(threads=1, graph_optimization=level))
    product = of(found, "QLinearMatMul")
    assert product.precision == "u8"
    assert product.made_of == ("d", "node", "rq")
    assert (of(found, "QuantizeLinear").precision, of(found, "DequantizeLinear").precision) == ("f32", "u8")


def test_what_stays_between_pairs_computes_in_floats(tmp_path: Path) -> None:
    model = graph(tmp_path / "m.onnx", around("Erf"), {"x": (FLOAT, ["n", 8])}, {"y": FLOAT}, **PAIR)
    erf = of(layers(model, WHOLE), "Erf")
    assert (erf.precision, erf.made_of) == ("f32", ("node",))


def test_operators_that_round_their_input_themselves_compute_in_integers(tmp_path: Path) -> None:
    held = {"w": np.ones((8, 4), np.int8), "t": np.ones(4, np.float32)}
    node = helper.make_node("DynamicQuantizeMatMul", ["x", "w", "t"], ["y"], domain="com.microsoft")
    model = graph(tmp_path / "m.onnx", [node], {"x": (FLOAT, ["n", 8])}, {"y": FLOAT}, **held)
    (layer,) = layers(model, WHOLE)
    assert (layer.precision, layer.kernel) == ("i8", "com.microsoft::DynamicQuantizeMatMul")


@pytest.mark.parametrize(("level", "precision"), [(0, "f32"), (4, "i8")])
def test_packed_weights_compute_as_their_accuracy_level_says(tmp_path: Path, level: int, precision: str) -> None:
    held = {"w": np.ones((4, 1, 16), np.uint8), "t": np.ones(4, np.float32)}
    node = helper.make_node(
        "MatMulNBits", ["x", "w", "t"], ["y"], domain="com.microsoft", K=32, N=4, bits=4, block_size=32,
        accuracy_level=level,
    )  # fmt: skip
    model = graph(tmp_path / "m.onnx", [node], {"x": (FLOAT, ["n", 32])}, {"y": FLOAT}, **held)
    (layer,) = layers(model, WHOLE)
    assert layer.precision == precision


def test_conditions_and_sizes_do_not_tell_the_type_of_the_data(tmp_path: Path) -> None:
    node = helper.make_node
    nodes = [
        node("Shape", ["x"], ["size"], name="size"),
        node("ReduceMax", ["size"], ["most"], name="most", keepdims=0),
        node("Cast", ["most"], ["limit"], name="limit", to=TensorProto.FLOAT),
        node("Less", ["x", "limit"], ["low"], name="low"),
        node("Where", ["low", "x", "limit"], ["y"], name="where"),
    ]
    model = graph(tmp_path / "m.onnx", nodes, {"x": (FLOAT, ["n", "m"])}, {"y": FLOAT})
    told = {each.name: each.precision for each in layers(model, PLAIN)}
    assert told == {"size": "f32", "most": "i64", "limit": "i64", "low": "f32", "where": "f32"}


def test_bodies_of_others_are_looked_into(tmp_path: Path) -> None:
    model = written(tmp_path / "voice.onnx")
    inside = {node.name or node.output[0] for node in every_node(onnx.load(model.path).graph)}
    found = layers(model, PLAIN)
    assert "If" in {each.op_type for each in found}
    assert inside.issuperset(name for each in found for name in each.made_of)


def test_tensors_beside_the_graph_are_no_hindrance_and_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proto = onnx.load(cnn(tmp_path / "m.onnx"))
    (tmp_path / "away").mkdir()
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    save_model(proto, tmp_path / "away" / "m.onnx", external=True, source=tmp_path)
    before = sorted(each.name for each in (tmp_path / "away").iterdir())
    assert {each.precision for each in layers(open_onnx(tmp_path / "away" / "m.onnx"), WHOLE)} == {"f32"}
    assert sorted(each.name for each in (tmp_path / "away").iterdir()) == before
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_model_that_is_refused_says_so(tmp_path: Path) -> None:
    broken = helper.make_node("MatMul", ["x", "w"], ["y"])
    model: Model = graph(tmp_path / "m.onnx", [broken], {"x": (FLOAT, ["n", 8])}, {"y": FLOAT}, w=random(9, 4))
    with pytest.raises(ModelError, match="ONNX Runtime refuses the model"):
        layers(model, WHOLE)
