"""What is found out about a model and its data before any pass: whether it can be fed, and on what it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from deployables import in_runtime
from onnx import TensorProto, helper, numpy_helper

from mlopt.core.errors import DataError, ModelError
from mlopt.data.dataset import Dataset, Samples, store
from mlopt.data.fitting import check_fed, check_finite, make_up, narrowest
from mlopt.data.vocabulary import known_words
from mlopt.formats.model import ONNX, Model, TensorSpec
from mlopt.formats.onnx.file import open_onnx, read_graph

Sizes = tuple[int | str, ...]


def info(name: str, shape: Sizes, kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def model(folder: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], **weights: np.ndarray) -> Model:
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), folder / "model.onnx")
    return open_onnx(folder / "model.onnx")


def attention(folder: Path) -> Model:
    """Scores plus a mask, through Softmax: minus infinity is what such a mask holds."""
    nodes = [helper.make_node("Add", ["x", "mask"], ["s"]), helper.make_node("Softmax", ["s"], ["y"])]
    return model(folder, nodes, [info("x", ("b", 4)), info("mask", ("b", 4))], [info("y", ("b", 4))])


def masked(folder: Path, rows: dict[int, tuple[int, float]]) -> Dataset:
    x, mask = np.zeros((6, 4), np.float32), np.zeros((6, 4), np.float32)
    mask[:, 3] = -np.inf
    for row, (column, value) in rows.items():
        x[row, column] = value
    return store(Samples({"x": x, "mask": mask}), folder / "data", "x.npz")


@pytest.mark.process
def test_a_mask_may_be_infinite(tmp_path: Path) -> None:
    check_finite(masked(tmp_path, {}), in_runtime(attention(tmp_path)), tmp_path / "log")
    check_finite(masked(tmp_path, {2: (3, -np.inf)}), in_runtime(attention(tmp_path)), tmp_path / "log")


@pytest.mark.process
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_spoils_an_output_is_named(value: float, tmp_path: Path) -> None:
    data = masked(tmp_path, {2: (1, value), 4: (0, value)})
    with pytest.raises(DataError) as caught:
        check_finite(data, in_runtime(attention(tmp_path)), tmp_path / "log")
    problem = caught.value.problems[0]
    assert (problem.where, problem.got) == ("x.npz: input 'x'", "2 of 6 samples, the first is sample 2")


@pytest.mark.process
def test_sizes_are_tried_on_the_model_itself(tmp_path: Path) -> None:
    """Two inputs whose first axes are not all the batch, and a total that nothing says is one."""
    nodes = [
        helper.make_node("Concat", ["past", "x"], ["joined"], axis=1),
        helper.make_node("Concat", ["joined", "first"], ["y"], axis=0),
    ]
    inputs = [info("x", ("batch", "new", 4)), info("past", ("batch", "old", 4)), info("first", (1, "all", 4))]
    found = model(tmp_path, nodes, inputs, [info("y", ("more", "all", 4))])
    data = make_up(in_runtime(found), 2, tmp_path / "data", tmp_path / "log")
    shapes = {name: array.shape[1:] for name, array in data.inputs.items()}
    assert shapes == {"x": (1, 16, 4), "past": (1, 16, 4), "first": (1, 32, 4)}
    sizes = "x [1, 16, 4]; past [1, 16, 4]; first [1, 32, 4]"
    assert data.notes == (f"inputs were made up, each sample in this size: {sizes}; --data FILE gives real ones",)


@pytest.mark.process
def test_sizes_that_no_attempt_meets_are_told(tmp_path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["x", "seven"], ["y"])]
    found = model(tmp_path, nodes, [info("x", ("b", "t"))], [info("y", ("b", 7, 11))], seven=np.array([-1, 7, 11]))
    with pytest.raises(ModelError) as caught:
        make_up(in_runtime(found), 1, tmp_path / "data", tmp_path / "log")
    problem = caught.value.problems[0]
    assert problem.what.startswith("ONNX Runtime could not run the model")
    assert "(t: 1, 8, 16, 32, 64, 128, 224, 256, 512)" in str(problem.fix)


@pytest.mark.process
def test_texts_come_from_what_looks_them_up(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("StringNormalizer", ["city"], ["plain"]),
        helper.make_node("LabelEncoder", ["plain"], ["ids"], domain="ai.onnx.ml", keys_strings=["Rome", "Oslo"],
                         values_int64s=[0, 1]),
        helper.make_node("OneHotEncoder", ["kind"], ["y"], domain="ai.onnx.ml", cats_strings=["a", "b"], zeros=0),
        helper.make_node("Identity", ["other"], ["z"]),
    ]  # fmt: skip
    inputs = [info(name, ("n",), TensorProto.STRING) for name in ("city", "kind", "other")]
    outputs = [info("ids", ("n",), TensorProto.INT64), info("y", ("n", 2)), info("z", ("n",), TensorProto.STRING)]
    found = model(tmp_path, nodes, inputs, outputs)
    assert known_words(read_graph(found.path), ("city", "kind", "other")) == {
        "city": ("Rome", "Oslo"),
        "kind": ("a", "b"),
    }
    data = make_up(in_runtime(found), 2, tmp_path / "data", tmp_path / "log")
    assert {name: set(array) for name, array in data.inputs.items()} == {
        "city": {"Rome", "Oslo"}, "kind": {"a", "b"}, "other": {"a", "b"},
    }  # fmt: skip


@pytest.mark.parametrize("name", ["BFLOAT16", "FLOAT8E4M3FN", "FLOAT8E5M2FNUZ", "INT4", "UINT4", "COMPLEX64"])
def test_what_numpy_has_not_is_told(name: str, tmp_path: Path) -> None:
    kind = getattr(TensorProto, name)
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    found = model(tmp_path, nodes, [info("x", ("b", 3), kind)], [info("y", ("b", 3), kind)])
    with pytest.raises(ModelError) as caught:
        check_fed(found)
    problem = caught.value.problems[0]
    assert problem.where == f"{found.path}: 'x'"
    assert problem.fix is not None


def test_a_model_without_inputs_is_told(tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["w"], ["y"])]
    with pytest.raises(ModelError, match="the model has no inputs"):
        check_fed(model(tmp_path, nodes, [], [info("y", (2,))], w=np.zeros(2, np.float32)))


def test_samples_are_made_up_for_the_model_that_takes_the_fewest() -> None:
    def takes(*inputs: TensorSpec) -> Any:
        return in_runtime(Model(ONNX, Path("m.onnx"), "", inputs, (), ()))

    free, rate = TensorSpec("x", "float32", ("n", "t")), TensorSpec("sr", "int64", ())
    general, sized = takes(free, rate), takes(TensorSpec("x", "float32", (1, 6)), rate)
    fixed = takes(TensorSpec("x", "float32", (1, 6)), TensorSpec("sr", "int64", (), 16000))
    assert narrowest([general, sized]) is sized
    assert narrowest([general, sized, fixed]) is fixed
    assert narrowest([general, general]) is general
