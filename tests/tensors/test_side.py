"""One of two compared models: its inner tensors can be asked for, and nothing is written for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from deployables import in_runtime
from onnx import helper
from quantization_models import FLOAT, INT64, branching, write

from mlopt.core.errors import ModelError
from mlopt.formats.onnx.file import open_onnx
from mlopt.tensors.graph import View
from mlopt.tensors.side import Side


@pytest.fixture
def side(tmp_path: Path) -> Side:
    """``x`` doubled to ``t``, whose rows' largest is ``place``; inside it is counted in integers."""
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["t"]),
        helper.make_node("Shape", ["t"], ["sizes"]),
        helper.make_node("ArgMax", ["t"], ["place"], axis=1, keepdims=0),
        helper.make_node("Reshape", ["t", "sizes"], ["y"]),
    ]
    ports = [("y", FLOAT, ["n", 3]), ("place", INT64, ["n"])]
    path = write(tmp_path / "m.onnx", nodes, {"two": np.float32(2).reshape(())}, [("x", FLOAT, ["n", 3])], ports)
    return Side.of(in_runtime(open_onnx(path)))


def test_an_inner_tensor_is_given_beside_the_outputs(side: Side, tmp_path: Path) -> None:
    before = (tmp_path / "m.onnx").read_bytes()
    found = side.open([View("t")]).run(["t", "place", "t"], {"x": np.float32([[1, 3, 2]])})
    assert list(found) == ["t", "place"]
    assert found["t"].tolist() == [[2, 6, 4]]
    assert found["place"].tolist() == [1]
    assert (tmp_path / "m.onnx").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


def test_floats_and_the_models_own_outputs_are_comparable_and_inner_integers_are_not(side: Side) -> None:
    exposed = side.open([View("t"), View("sizes")])
    assert [exposed.comparable(View(name)) for name in ("t", "place", "sizes", "none")] == [True, True, False, False]


def test_nothing_asked_for_is_nothing_run(side: Side) -> None:
    assert side.open([]).run([], {}) == {}


def test_a_run_that_fails_names_the_model_and_what_it_was_given(side: Side) -> None:
    with pytest.raises(ModelError, match="could not run the model") as error:
        side.open([]).run(["y"], {"x": np.zeros((1, 4), np.float32)})
    assert "x: float32[1, 4]" in str(error.value)
    assert str(side.model.path) in str(error.value)


def test_what_lies_in_bodies_is_said_to_be_left_out(side: Side, tmp_path: Path) -> None:
    assert side.notes() == []
    both = Side.of(in_runtime(open_onnx(branching(tmp_path / "if.onnx"))))
    assert both.notes() == ["if.onnx: the bodies of If are not looked into"]
