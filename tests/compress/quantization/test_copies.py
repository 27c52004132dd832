"""One constant, several readers: who gets a tensor of its own, and who shares one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper, numpy_helper
from quantization_models import FLOAT, random, write

from mlopt.compress.quantization.copies import dynamic_forms, remarks, separate, static_forms

CONSTANTS = {"w": random(8, 8), "b": random(8, seed=1)}


def node(op_type: str, reads: Sequence[str], writes: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op_type, reads, [writes], name=f"node_{writes}", **attributes)


def test_which_readers_get_a_copy() -> None:
    nodes = [
        node("MatMul", ["x", "w"], "a"), node("Gemm", ["a", "w", "b"], "c", transB=1),
        node("Gemm", ["c", "w", "b"], "d"), node("Identity", ["w"], "e"), node("MatMul", ["x", "w"], "f"),
    ]  # fmt: skip
    chosen = ["node_a", "node_c", "node_d"]

    def reads(**settings: Any) -> list[list[str]]:
        constants = [numpy_helper.from_array(CONSTANTS[name], name) for name in ("w", "b")]
        graph = helper.make_graph(nodes, "g", [], [helper.make_tensor_value_info("w", FLOAT, None)], constants)
        forms = static_forms(chosen, (), **settings) if settings else dynamic_forms(chosen, ["node_d"])
        separate(graph, forms)
        assert len({tensor.name for tensor in graph.initializer}) == len(graph.initializer)
        return [[name for name in each.input if name[0] in "wb"] for each in graph.node]

    assert reads(per_channel=True) == [
        ["w_mlopt_copy1"], ["w_mlopt_copy2", "b"], ["w_mlopt_copy1", "b_mlopt_copy1"], ["w"], ["w"],
    ]  # fmt: skip
    assert reads(per_channel=False) == [
        ["w_mlopt_copy1"], ["w_mlopt_copy1", "b"], ["w_mlopt_copy1", "b_mlopt_copy1"], ["w"], ["w"],
    ]  # fmt: skip
    assert reads() == [["w_mlopt_copy1"], ["w_mlopt_copy2", "b"], ["w_mlopt_copy3", "b"], ["w"], ["w"]]


def test_only_copied_matrices_are_worth_a_remark(tmp_path: Path) -> None:
    nodes = [node("Gemm", ["x", "w", "b"], "h"), node("Gemm", ["h", "w", "b"], "y", transB=1)]
    ports = [("x", FLOAT, ["n", 8])], [("y", FLOAT, ["n", 8])]
    model = write(tmp_path / "m.onnx", nodes, CONSTANTS, *ports)
    forms = static_forms(["node_h", "node_y"], (), per_channel=True)
    assert remarks(model, forms) == (
        "weight 'w' is stored 2 times, since its readers want it in different forms",
    )  # fmt: skip
    alike = static_forms(["node_h", "node_y"], (), per_channel=False)  # but for the bias, which each layer has anew
    assert remarks(model, alike) == ()


def test_a_copy_of_an_external_tensor_refers_to_the_same_place() -> None:
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[8, 8], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "m.onnx.data"), ("offset", "4096"), ("length", "256")):
        weight.external_data.add(key=key, value=value)
    nodes = [node("MatMul", ["x", "w"], "a"), node("Identity", ["w"], "y")]
    graph = helper.make_graph(nodes, "g", [], [], [weight])
    assert separate(graph, static_forms(["node_a"], (), per_channel=True)) == {"w": 2}
    first, second = graph.initializer
    assert [first.name, second.name] == ["w", "w_mlopt_copy1"]
    assert list(first.external_data) == list(second.external_data)


def test_a_name_that_is_taken_is_given_to_no_copy() -> None:
    nodes = [node("MatMul", ["x", "w"], "w_mlopt_copy1"), node("Identity", ["w"], "y")]
    graph = helper.make_graph(nodes, "g", [], [], [numpy_helper.from_array(CONSTANTS["w"], "w")])
    assert separate(graph, static_forms(["node_w_mlopt_copy1"], (), per_channel=True)) == {"w": 2}
    names = [*(tensor.name for tensor in graph.initializer), "w_mlopt_copy1", "y"]
    assert len(names) == len(set(names))


def test_what_is_no_float_or_no_value_is_never_copied() -> None:
    """Shapes and limits are read as they are, and integers are not rounded."""
    nodes = [node("Clip", ["x", "low"], "c"), node("Clip", ["c", "low"], "d"), node("Reshape", ["d", "shape"], "y")]
    constants = [
        numpy_helper.from_array(random(1)[0], "low"), helper.make_tensor("shape", TensorProto.INT64, [1], [-1])
    ]  # fmt: skip
    graph = helper.make_graph(nodes, "g", [], [], constants)
    assert separate(graph, static_forms([each.name for each in nodes], (), per_channel=True)) == {}
