"""Reading a graph, and making the copy that the tools work on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from quantization_models import FLOAT, branching, cnn, encoder, random, write

from mlopt.compress.quantization import graph as module
from mlopt.compress.quantization.graph import matching, prepare, survey
from mlopt.compress.quantization.observe import outputs
from mlopt.core.errors import PassError
from mlopt.formats.onnx.file import open_onnx, read_graph
from mlopt.formats.onnx.order import sort_nodes


def test_survey_counts_multiply_adds(tmp_path: Path) -> None:
    found = survey(read_graph(cnn(tmp_path / "m.onnx")))
    first, second, head = 8 * 3 * 9 * 64, 16 * 8 * 9 * 36, 16 * 5
    assert (found.work.conv, found.work.matmul) == (first + second, head)
    assert (found.work.conv_nodes, found.work.matmul_nodes) == (2, 1)
    assert found.weighted == ("c1", "c2", "logits")
    assert found.work.convolutional
    assert not survey(read_graph(encoder(tmp_path / "e.onnx"))).work.convolutional


def test_survey_sees_weights_in_constant_nodes_and_not_products_of_activations(tmp_path: Path) -> None:
    constant = helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(random(4, 4), "ignored"))
    nodes = [constant, helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("MatMul", ["h", "h"], ["y"])]
    path = write(tmp_path / "m.onnx", nodes, {}, [("x", FLOAT, [4, 4])], [("y", FLOAT, [4, 4])])
    assert survey(read_graph(path)).weighted == ("h",)


def test_survey_does_not_look_into_bodies(tmp_path: Path) -> None:
    found = survey(read_graph(branching(tmp_path / "m.onnx")))
    assert found.weighted == ("c",)
    assert found.control_flow == ("If",)


def test_prepare_strips_initializers_from_the_inputs_and_raises_the_opset(tmp_path: Path) -> None:
    path = cnn(tmp_path / "m.onnx", opset=9, weights_are_inputs=True)
    prepared = prepare(open_onnx(path), tmp_path, minimum_opset=13)
    proto = read_graph(prepared.path)
    assert [value.name for value in proto.graph.input] == ["image"]
    assert (prepared.opset, prepared.raised_from) == (13, 9)
    assert len({node.name for node in proto.graph.node}) == len(proto.graph.node) == 7
    assert {"c1", "p", "f"} <= {value.name for value in proto.graph.value_info}
    feeds = {"image": random(2, 3, 8, 8)}
    np.testing.assert_allclose(outputs(prepared.path, feeds)[0], outputs(path, feeds)[0], rtol=1e-4, atol=1e-4)


def test_prepare_makes_initializers_of_constants(tmp_path: Path) -> None:
    constant = helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(random(4, 4), "ignored"))
    nodes = [constant, helper.make_node("MatMul", ["x", "w"], ["y"])]
    path = write(tmp_path / "m.onnx", nodes, {}, [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])])
    proto = read_graph(prepare(open_onnx(path), tmp_path).path)
    assert [tensor.name for tensor in proto.graph.initializer] == ["w"]
    assert [node.op_type for node in proto.graph.node] == ["MatMul"]


def test_prepare_says_why_an_opset_cannot_be_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise onnx.version_converter.ConvertError("no adapter for this")

    monkeypatch.setattr(onnx.version_converter, "convert_version", refuse)
    with pytest.raises(ValueError, match="no adapter for this"):
        prepare(open_onnx(cnn(tmp_path / "m.onnx", opset=9)), tmp_path, minimum_opset=13)


def test_large_models_keep_their_tensors_beside_the_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXTERNAL_DATA_ABOVE", 0)
    path = cnn(tmp_path / "m.onnx")
    prepared = prepare(open_onnx(path), tmp_path)
    assert prepared.external
    assert (tmp_path / "plain.onnx.data").stat().st_size > 0
    feeds = {"image": random(2, 3, 8, 8)}
    np.testing.assert_array_equal(outputs(prepared.path, feeds)[0], outputs(path, feeds)[0])


def test_sort_nodes_minds_what_bodies_read(tmp_path: Path) -> None:
    path = branching(tmp_path / "m.onnx")
    proto = onnx.load(path)
    shuffled = list(reversed(proto.graph.node))
    del proto.graph.node[:]
    proto.graph.node.extend(shuffled)
    sort_nodes(proto.graph)
    onnx.checker.check_model(proto)
    kinds = [node.op_type for node in proto.graph.node]
    assert kinds.index("Conv") < kinds.index("If")


def test_a_pattern_must_match(tmp_path: Path) -> None:
    graph = read_graph(cnn(tmp_path / "m.onnx")).graph
    assert matching(graph, ["*st", "head"], where="here") == {
        "first": "excluded by '*st'",
        "head": "excluded by 'head'",
    }
    with pytest.raises(PassError) as caught:
        matching(graph, ["haed"], where="passes.quantize.exclude")
    assert caught.value.problems[0].got == "haed"
    assert "head" in (caught.value.problems[0].expected or "")


def test_names_do_not_depend_on_what_raising_the_opset_adds(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Unsqueeze", ["x"], ["u"], axes=[0]),  # from opset 13 on, axes are a constant
        helper.make_node("Squeeze", ["u"], ["s"], axes=[0]),
        helper.make_node("MatMul", ["s", "w"], ["y"]),
    ]
    path = write(
        tmp_path / "m.onnx", nodes, {"w": random(4, 4)}, [("x", FLOAT, [2, 4])], [("y", FLOAT, [2, 4])], opset=11
    )
    names = []
    for opset in (11, 13):
        folder = tmp_path / str(opset)
        folder.mkdir()
        graph = read_graph(prepare(open_onnx(path), folder, minimum_opset=opset).path).graph
        names.append({node.output[0]: node.name for node in graph.node})
    assert names[0] == names[1] == {"u": "Unsqueeze_0", "s": "Squeeze_1", "y": "MatMul_2"}


def test_functions_of_the_models_own_keep_the_opset(tmp_path: Path) -> None:
    proto = onnx.load(cnn(tmp_path / "m.onnx", opset=11))
    opsets = [helper.make_opsetid("", 11)]
    body = [helper.make_node("Relu", ["a"], ["b"])]
    proto.functions.append(helper.make_function("mine", "Twice", ["a"], ["b"], body, opsets))
    onnx.save(proto, tmp_path / "m.onnx")
    with pytest.raises(ValueError, match="loses a model's own functions"):
        prepare(open_onnx(tmp_path / "m.onnx"), tmp_path, minimum_opset=13)


def test_a_name_is_a_name_before_it_is_a_pattern(tmp_path: Path) -> None:
    graph = read_graph(cnn(tmp_path / "m.onnx")).graph
    graph.node[0].name = "layers[0].conv"
    assert matching(graph, ["layers[0].conv"], where="here") == {"layers[0].conv": "excluded by 'layers[0].conv'"}


def test_types_that_onnx_does_not_infer_are_known(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("FusedMatMul", ["x", "w"], ["f"], name="fused", domain="com.microsoft", alpha=2.0),
        helper.make_node("Relu", ["f"], ["r"], name="relu"),
        helper.make_node("Neg", ["r"], ["y"], name="neg"),
    ]
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", FLOAT, ["n", 4])], [helper.make_tensor_value_info("y", FLOAT, ["n", 4])],
        [numpy_helper.from_array(random(4, 4), "w")],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "m.onnx")
    prepared = read_graph(prepare(open_onnx(tmp_path / "m.onnx"), tmp_path).path).graph
    types = {value.name: value.type.tensor_type.elem_type for value in prepared.value_info}
    assert (types["f"], types["r"]) == (FLOAT, FLOAT)
    assert [value.name for value in prepared.output] == ["y"]
