"""Angles that are counted are found, whatever lies between; those of features, and of tables, are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper
from openvino_models import FLOAT, INT64, graph

from mlopt.formats.onnx.angles import counted_angle
from mlopt.formats.onnx.file import read_graph

node = helper.make_node
HELD: dict[str, Any] = {
    "f": np.ones((1, 4), np.float32), "axis": np.int64(1), "axes": np.array([2]), "zero": np.int64(0),
    "one": np.int64(1), "table": np.ones((9, 4), np.float32), "w": np.ones((4, 4), np.float32),
    "size": np.array([1, -1, 1]),
}  # fmt: skip
ANGLE = [node("Mul", ["t", "f"], ["u"]), node("Sin", ["u"], ["y"], name="wave")]
FED = [node("Cast", ["p"], ["c"], to=FLOAT), node("Unsqueeze", ["c", "axes"], ["t"])]
LONG = [
    node("Shape", ["x"], ["s"]), node("Gather", ["s", "one"], ["n"]), node("Range", ["zero", "n", "one"], ["r"]),
    node("Reshape", ["r", "size"], ["q"]), node("Cast", ["q"], ["t"], to=FLOAT),
]  # fmt: skip
ONES = [node("Shape", ["x"], ["s"]), node("ConstantOfShape", ["s"], ["o"]), node("CumSum", ["o", "axis"], ["t"])]
PHASE = [node("Relu", ["x"], ["h"]), node("CumSum", ["h", "axis"], ["t"])]
LEARNT = [node("Gather", ["table", "p"], ["t"])]
FEATURES = [node("MatMul", ["x", "w"], ["h"]), node("Relu", ["h"], ["t"])]


@pytest.mark.parametrize(
    ("made", "of_any_size", "of_known_sizes"),
    [(FED, True, True), (LONG, True, False), (ONES, True, False), (PHASE, True, True), (LEARNT, False, False),
     (FEATURES, False, False)],
)  # fmt: skip
def test_what_is_counted_is_found(
    tmp_path: Path, made: list[NodeProto], of_any_size: bool, of_known_sizes: bool
) -> None:
    inputs = {"x": (FLOAT, ["b", "t", 4]), "p": (INT64, ["b", "t"])}
    model = graph(tmp_path / "m.onnx", [*made, *ANGLE], inputs, {"y": TensorProto.FLOAT}, **HELD)
    for known, found in ((False, of_any_size), (True, of_known_sizes)):
        told = counted_angle(read_graph(model.path).graph, sizes_known=known)
        assert told == ("Sin wave" if found else None)
