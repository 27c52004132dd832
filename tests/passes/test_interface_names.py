"""The names of dynamic dimensions are part of a model's interface: no pass renames, invents or forgets one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from pass_runs import applied, run_pass

from mlopt.core.target import Objective
from mlopt.passes.table import table

Dim = str | int | None
PASSES: dict[str, tuple[str, dict[str, Any]]] = {
    "simplify": ("simplify", {}),
    "fuse_basic": ("fuse", {"level": "basic"}),
    "fuse": ("fuse", {}),
    "static": ("quantize", {"mode": "static"}),
    "dynamic": ("quantize", {"mode": "dynamic"}),
    "weight_only": ("quantize", {"mode": "weight_only"}),
    "fp16": ("fp16", {"seconds": 5}),
}
X = np.random.default_rng(0).standard_normal((8, 32)).astype(np.float32)
NAMES = st.one_of(
    st.none(), st.sampled_from(["n", "unk__0", "unk__1", "?", "batch_size*2", "x_0", "a b", "größe", "-1", "N", "None"])
)


def source(path: Path, given: Dim, wanted: Dim, middle: Dim, *, shaped: bool = True) -> onnx.GraphProto:
    """x: [given, 32] -> y: [wanted, 16] and h: [middle, 32]; a Reshape that changes nothing makes onnxsim rename."""
    value, node = helper.make_tensor_value_info, helper.make_node
    weights = {"w": np.ones((32, 32), np.float32) / 32, "w2": np.eye(32, 16, dtype=np.float32)}
    arrays = {"size": np.array([-1, 32])} | weights
    nodes = [
        node("Reshape", ["x", "size"], ["x2"]), node("MatMul", ["x2", "w"], ["h"]), node("Relu", ["h"], ["r"]),
        node("MatMul", ["r", "w2"], ["y"]),
    ]  # fmt: skip
    outputs = [
        value("y", TensorProto.FLOAT, [wanted, 16] if shaped else None), value("h", TensorProto.FLOAT, [middle, 32]),
    ]  # fmt: skip
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "g", [value("x", TensorProto.FLOAT, [given, 32])], outputs, tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return graph


def after(name: str, path: Path, tmp_path: Path) -> onnx.GraphProto:
    pass_, config = PASSES[name]
    result = applied(
        run_pass(
            table()[pass_], path, config, tmp_path, calibration={"x": X}, samples={"x": X}, objective=Objective.SIZE
        )
    )
    return onnx.load(result.path).graph


@pytest.mark.parametrize("name", PASSES)
def test_every_pass_declares_what_was_declared(name: str, tmp_path: Path) -> None:
    before = source(tmp_path / "m.onnx", "n", "unk__0", None)
    found = after(name, tmp_path / "m.onnx", tmp_path)
    assert (list(found.input), list(found.output)) == (list(before.input), list(before.output))


@pytest.mark.parametrize("name", PASSES)
def test_an_output_without_a_shape_gets_none(name: str, tmp_path: Path) -> None:
    before = source(tmp_path / "m.onnx", "n", "n", "n", shaped=False)
    assert list(after(name, tmp_path / "m.onnx", tmp_path).output) == list(before.output)


@pytest.mark.heavy
@given(names=st.tuples(NAMES, NAMES, NAMES), name=st.sampled_from(["simplify", "fuse"]))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_names_are(names: tuple[Dim, Dim, Dim], name: str, tmp_path: Path) -> None:
    before = source(tmp_path / "m.onnx", *names)
    found = after(name, tmp_path / "m.onnx", tmp_path)
    assert (list(found.input), list(found.output)) == (list(before.input), list(before.output))
