"""What is told of integers inside a graph holds for what ONNX Runtime computes there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deployables import in_runtime
from onnx import NodeProto, TensorProto, helper
from openvino_models import INT64, Array, answers, graph

from mlopt.formats.onnx.file import read_graph
from mlopt.formats.onnx.integers import arithmetic

FED = {"a": (-50, 70), "b": (3, 9)}


def computed(path: Path, steps: list[tuple[str, list[str]]], **held: Any) -> tuple[dict[str, Array], Any]:
    """Return each step's values for many feeds, and what is told of them; steps are named by their number."""
    nodes = [helper.make_node(operator, of, [str(number)]) for number, (operator, of) in enumerate(steps)]
    inputs = {name: (INT64, ["n"]) for name in FED}
    model = graph(path, nodes, inputs, {node.output[0]: INT64 for node in nodes}, **held)
    rng = np.random.default_rng(0)
    feeds = {name: rng.integers(low, high + 1, 500) for name, (low, high) in FED.items()}
    return answers(in_runtime(model), feeds), arithmetic(read_graph(path).graph)


CASES = [
    [("Add", ["a", "b"]), ("Mul", ["0", "k"]), ("Sub", ["1", "a"]), ("Neg", ["2"])],
    [("Mul", ["a", "a"]), ("Div", ["0", "b"]), ("Mod", ["1", "k"]), ("Identity", ["2"])],
    [("Div", ["a", "m"]), ("Mul", ["0", "m"]), ("Add", ["1", "k"]), ("Mod", ["a", "m"])],
]


@pytest.mark.parametrize("steps", CASES)
@pytest.mark.parametrize("bits", [4, 8, 12, 16])
def test_what_is_not_told_to_reach_beyond_some_bits_does_not(tmp_path: Path, steps: Any, bits: int) -> None:
    values, found = computed(tmp_path / "m.onnx", steps, k=np.array([13]), m=np.array([-7]))
    told = found.beyond(FED, bits)
    inside = [-(2 ** (bits - 1)) <= array.min() and array.max() < 2 ** (bits - 1) for array in values.values()]
    assert told is not None or all(inside)
    assert found.beyond(FED, 64) is None


@pytest.mark.parametrize("steps", CASES)
def test_what_is_told_is_about_as_far_as_it_reaches(tmp_path: Path, steps: Any) -> None:
    values, found = computed(tmp_path / "m.onnx", steps, k=np.array([13]), m=np.array([-7]))
    most = max(int(np.abs(array).max()) for array in (*values.values(), np.array([70])))
    assert found.beyond(FED, (most * 3).bit_length() + 1) is None


def only(path: Path, *nodes: NodeProto, **held: Any) -> Any:
    model = graph(path, list(nodes), {"a": (INT64, ["n"])}, {"y": TensorProto.FLOAT}, **held)
    return arithmetic(read_graph(model.path).graph)


def test_of_lengths_sums_and_floats_nothing_is_said(tmp_path: Path) -> None:
    node = helper.make_node
    path, huge = tmp_path / "m.onnx", np.array([2**40])
    to_float = node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)
    for found in (
        only(path, node("Shape", ["a"], ["s"]), node("Mul", ["s", "k"], ["x"]), to_float, k=huge),
        only(path, node("CumSum", ["a", "z"], ["s"]), node("Mul", ["s", "k"], ["x"]), to_float, k=huge, z=np.int64(0)),
        only(path, node("Cast", ["a"], ["x"], to=TensorProto.FLOAT), node("Mul", ["x", "x"], ["y"])),
    ):
        assert (found.inputs, found.beyond({"a": (0, 2**60)}, 32)) == ((), None)


def test_operators_may_take_less_the_dividend_and_the_smaller_of_what_is_compared(tmp_path: Path) -> None:
    node, k = helper.make_node, np.array([10**6])
    to_float = node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)
    for operator, limit, fine in (
        ("Div", 100, True), ("Div", 99, False), ("Mod", 100, True), ("Mod", 99, False), ("Less", 100, True),
        ("Less", 99, False), ("Equal", 99, False), ("Add", 99, False),
    ):  # fmt: skip
        found = only(tmp_path / "m.onnx", node(operator, ["a", "k"], ["x"]), to_float, k=k)
        told = found.beyond({"a": (-100, 0)}, 32, {operator: limit})
        assert (told is None) == fine, operator
    found = only(
        tmp_path / "m.onnx", node("ReduceMax", ["a"], ["m"]), node("Mul", ["m", "k"], ["x"]), to_float, k=k
    )  # fmt: skip
    assert found.beyond({"a": (0, 5)}, 32) is None
    assert found.beyond({"a": (0, 5000)}, 32).operator == "Mul"
    assert found.beyond({"a": (0, 5)}, 32, {"ReduceMax": 4}).operator == "ReduceMax"


def test_arithmetic_in_32_bits_wraps_in_every_runtime(tmp_path: Path) -> None:
    node = helper.make_node
    found = only(
        tmp_path / "m.onnx", node("Cast", ["a"], ["i"], to=TensorProto.INT32), node("Mul", ["i", "i"], ["x"]),
        node("Cast", ["x"], ["y"], to=TensorProto.FLOAT),
    )  # fmt: skip
    assert found.inputs == ("a",)
    assert found.beyond({"a": (0, 10**6)}, 32) is None
