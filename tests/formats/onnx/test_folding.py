"""Constants in the place of inputs: the right ones, in every body, and the branch that is taken comes out whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import pytest
from branching import HEADER
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper, parser
from random_models import feeds, random_model

from mlopt.formats.onnx.folding import fold
from mlopt.formats.onnx.graph import operators

pytestmark = pytest.mark.heavy

X = np.arange(-3, 3, dtype=np.float32).reshape(2, 3)
CASES: dict[str, tuple[str, set[str]]] = {
    "equal names in both branches": ("""(float[2,3] x, bool c) => (float[2,3] y) <float k = {2}> {
        y = If(c) <then_branch = t () => (float[2,3] o) { a = Mul(x, k) o = Add(a, k) },
                   else_branch = e () => (float[2,3] o) { a = Sub(x, k) o = Relu(a) }>
    }""", {"Mul", "Add"}),
    "equal names and constants in two Ifs": ("""(float[2,3] x, bool c) => (float[2,3] y) {
        h = If(c) <then_branch = t () => (float[2,3] o) { k = Constant<value_float = 3.0>()
            a = Mul(x, k) o = Add(a, k) },
                   else_branch = e () => (float[2,3] o) { o = Relu(x) }>
        y = If(c) <then_branch = t () => (float[2,3] o) { k = Constant<value_float = 5.0>()
            a = Mul(h, k) o = Add(a, k) },
                   else_branch = e () => (float[2,3] o) { o = Relu(x) }>
    }""", {"Mul", "Add"}),
    "a body inside one that stays reads what is inlined": ("""(float[2,3] x, bool c) => (float[2,3] y) <float z = {0}> {
        s = ReduceSum<keepdims=0>(x)
        d = Greater(s, z)
        y = If(c) <then_branch = t () => (float[2,3] o) {
                       a = Neg(x)
                       o = If(d) <then_branch = tt () => (float[2,3] p) { p = Add(a, x) },
                                  else_branch = ee () => (float[2,3] p) { p = Sub(a, x) }> },
                   else_branch = e () => (float[2,3] o) { o = Relu(x) }>
    }""", {"ReduceSum", "Greater", "Neg", "If", "Add", "Sub"}),
    "inside bodies that stay": ("""(float[2,3] x, bool c) => (float[2,3] y) <float z = {0}> {
        s = ReduceSum<keepdims=0>(x)
        d = Greater(s, z)
        y = If(d) <then_branch = t () => (float[2,3] o) {
                       a = Neg(x)
                       o = If(c) <then_branch = tt () => (float[2,3] p) { p = Add(a, x) },
                                  else_branch = ee () => (float[2,3] p) { p = Sub(a, x) }> },
                   else_branch = e () => (float[2,3] o) {
                       a = Relu(x)
                       o = If(c) <then_branch = tt () => (float[2,3] p) { p = Max(a, x) },
                                  else_branch = ee () => (float[2,3] p) { p = Mul(a, x) }> }>
    }""", {"ReduceSum", "Greater", "If", "Neg", "Add", "Relu", "Max"}),
    "in a Loop": ("""(float[2,3] x, bool c) => (float[2,3] y) <int64 n = {3}, bool t = {1}> {
        y = Loop(n, t, x) <body = b (int64 i, bool ci, float[2,3] v) => (bool co, float[2,3] vo) {
            co = Identity(ci)
            vo = If(c) <then_branch = tt () => (float[2,3] p) { p = Add(v, x) },
                        else_branch = ee () => (float[2,3] p) { p = Sub(v, x) }> }>
    }""", {"Loop", "Identity", "Add"}),
    "a Loop with names of the branch": ("""(float[2,3] x, bool c) => (float[2,3] y) <int64 n = {3}, bool t = {1}> {
        h = If(c) <then_branch = tt () => (float[2,3] p) { vo = Add(x, x) p = Neg(vo) },
                   else_branch = ee () => (float[2,3] p) { vo = Mul(x, x) p = Neg(vo) }>
        y = Loop(n, t, x) <body = b (int64 i, bool ci, float[2,3] v) => (bool co, float[2,3] vo) {
            co = Identity(ci)
            p = Add(v, h)
            vo = Neg(p) }>
    }""", {"Loop", "Identity", "Add", "Neg"}),
    "an outer value as it is": ("""(float[2,3] x, bool c) => (float[2,3] y, float[2,3] z) {
        y, z = If(c) <then_branch = t () => (float[2,3] o, float[2,3] p) { o = Identity(x) p = Identity(x) },
                      else_branch = e () => (float[2,3] o, float[2,3] p) { o = Relu(x) p = Abs(x) }>
    }""", {"Identity"}),
}  # fmt: skip


def ran(proto: onnx.ModelProto, given: Mapping[str, Any]) -> list[np.ndarray]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: list[np.ndarray] = session.run(None, dict(given))
    return found


def parsed(text: str) -> onnx.ModelProto:
    proto = parser.parse_model(f"{HEADER}g {text}")
    onnx.checker.check_model(proto, full_check=True)
    return proto


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("taken", [True, False])
def test_the_branch_that_is_taken_stays(name: str, taken: bool, tmp_path: Path) -> None:
    text, left = CASES[name]
    proto = parsed(text)
    folded, remark = fold(proto, {"c": np.array(taken)}, tmp_path)
    assert remark is None
    assert [value.name for value in folded.graph.input] == ["x", "c"]
    onnx.checker.check_model(folded, full_check=True)
    assert not taken or set(operators(folded.graph)) == left
    for other in (X, -X, X + 9):
        expected = ran(proto, {"x": other, "c": np.array(taken)})
        for ignored in (True, False):  # nothing reads the fixed input any more
            for ours, theirs in zip(ran(folded, {"x": other, "c": np.array(ignored)}), expected, strict=True):
                np.testing.assert_array_equal(ours, theirs)


def test_a_fixed_input_that_is_an_output_stays_one(tmp_path: Path) -> None:
    proto = parsed("(float[2,3] x, float[2,3] k) => (float[2,3] y, float[2,3] k) { y = Add(x, k) }")
    folded, _ = fold(proto, {"k": X}, tmp_path)
    assert [value.name for value in folded.graph.output] == ["y", "k"]
    assert list(folded.graph.node[0].input) == ["x", "k_fixed"]


def test_a_constant_takes_no_name_of_the_model(tmp_path: Path) -> None:
    proto = parsed("(float[2,3] x, float k) => (float[2,3] y) { k_fixed = Neg(x) y = Mul(k_fixed, k) }")
    folded, _ = fold(proto, {"k": np.array(2, np.float32)}, tmp_path)
    np.testing.assert_array_equal(ran(folded, {"x": X, "k": np.array(5, np.float32)})[0], X * -2)


def test_text_decides(tmp_path: Path) -> None:
    proto = parsed("""(float[2,3] x, string k) => (float[2,3] y) {
        l = Constant<value_string = "größer">()
        c = Equal(k, l)
        y = If(c) <then_branch = t () => (float[2,3] o) { o = Neg(x) },
                   else_branch = e () => (float[2,3] o) { o = Abs(x) }> }""")  # fmt: skip
    for text, wanted in (("größer", "Neg"), ("kleiner", "Abs")):
        folded, _ = fold(proto, {"k": np.array(text)}, tmp_path)
        assert set(operators(folded.graph)) == {wanted}


def test_weights_in_other_files_are_left_there(tmp_path: Path) -> None:
    weight = np.random.default_rng(0).standard_normal((3, 5000)).astype(np.float32)
    node, value = helper.make_node, helper.make_tensor_value_info
    nodes = [node("Transpose", ["w"], ["t"]), node("Transpose", ["t"], ["u"]), node("MatMul", ["x", "u"], ["h"]),
             node("Mul", ["h", "k"], ["y"])]  # fmt: skip
    graph = helper.make_graph(
        nodes, "g", [value("x", 1, [2, 3]), value("k", 1, [])], [value("y", 1, [2, 5000])],
        [numpy_helper.from_array(weight, "w")],
    )  # fmt: skip
    path = tmp_path / "m.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.save(model, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    folded, remark = fold(onnx.load(path, load_external_data=False), {"k": np.array(2, np.float32)}, tmp_path)
    (kept,) = [tensor for tensor in folded.graph.initializer if tensor.name == "w"]
    assert (remark, kept.data_location, kept.external_data[0].value) == (None, kept.EXTERNAL, "w.bin")


def test_a_large_constant_of_one_value_is_not_written_out(tmp_path: Path) -> None:
    proto = parsed("""(float[2,3] x, int64[1] k) => (float[n] y) { z = ConstantOfShape(k) y = Relu(z) }""")
    folded, _ = fold(proto, {"k": np.array([1 << 40])}, tmp_path)
    assert "ConstantOfShape" in operators(folded.graph)
    folded, _ = fold(proto, {"k": np.array([4])}, tmp_path)
    assert operators(folded.graph) == {}


def test_functions_are_looked_into(tmp_path: Path) -> None:
    proto = parser.parse_model("""<ir_version: 9, opset_import: ["": 20, "f": 1]>
        g (float[2,3] x, bool c) => (float[2,3] y) { y = f.choose(x, c) }
        <domain: "f", opset_import: ["": 20]> choose (x, c) => (y) {
            y = If(c) <then_branch = t () => (float[2,3] o) { o = Neg(x) },
                       else_branch = e () => (float[2,3] o) { o = Abs(x) }> }""")
    folded, remark = fold(proto, {"c": np.array(False)}, tmp_path)
    assert (remark, operators(folded.graph)) == (None, {"Abs": 1})


def test_nothing_of_the_tool_is_left_in_the_file(tmp_path: Path) -> None:
    proto = parsed("(float[2,3] x, int64 a) => (int64 y) <int64 b = {2}> { s = Add(a, b) y = Mul(s, s) }")
    folded, _ = fold(proto, {"a": np.array(3)}, tmp_path)
    assert b"onnxscript" not in folded.SerializeToString()
    assert ran(folded, {"x": X, "a": np.array(0)})[0] == 25


@given(seed=st.integers(0, 2**32), rows=st.integers(1, 4))
@settings(max_examples=40, deadline=None, derandomize=True, database=None)
def test_random_models_compute_what_they_did(seed: int, rows: int) -> None:
    proto = random_model(Random(seed))
    given_, sized = feeds(proto, rows, seed=1), onnx.ModelProto()
    sized.CopyFrom(proto)
    for value in (*sized.graph.input, *sized.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param == "n":
                dim.dim_value = rows
    folded, remark = fold(sized, {}, Path())
    assert remark is None
    for ours, theirs in zip(ran(folded, given_), ran(proto, given_), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
