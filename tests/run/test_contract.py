"""What the framework finds when a pass does not keep what it declares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from deployables import in_runtime
from onnx import TensorProto, helper, numpy_helper

from mlopt.core.errors import PassError
from mlopt.data.dataset import Dataset, Samples, store
from mlopt.formats.model import Model
from mlopt.formats.onnx.file import open_onnx
from mlopt.passes.simplify import PASS
from mlopt.run.contract import Conformity, check_output


def scaled(path: Path, factor: float, *, time: int | str = "time", name: str = "y", reshape: int = 0) -> Model:
    """y = factor * x, of shape [batch, time]; with ``reshape``, time must be a multiple of it."""
    weights = [numpy_helper.from_array(np.array([factor], np.float32), "factor")]
    nodes = [helper.make_node("Mul", ["x", "factor"], ["z" if reshape else name])]
    shape: list[int | str] = ["batch", time]
    if reshape:
        weights.append(numpy_helper.from_array(np.array([0, -1, reshape], np.int64), "shape"))
        nodes.append(helper.make_node("Reshape", ["z", "shape"], [name]))
        shape = ["batch", "groups", reshape]
    graph = helper.make_graph(
        nodes, "scaled",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", time])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)], weights,
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return open_onnx(path)


def checked(before: Model, after: Model, samples: Dataset) -> Conformity:
    return check_output(PASS, in_runtime(before), in_runtime(after), samples)


@pytest.fixture
def samples(tmp_path: Path) -> Dataset:
    (tmp_path / "data").mkdir()
    values = np.random.default_rng(0).standard_normal((6, 12)).astype(np.float32)
    return store(Samples({"x": values}), tmp_path / "data", "random")


def refusal(before: Model, after: Model, samples: Dataset) -> str:
    with pytest.raises(PassError) as caught:
        checked(before, after, samples)
    return str(caught.value)


def test_an_equal_model_conforms(tmp_path: Path, samples: Dataset) -> None:
    before, after = scaled(tmp_path / "a.onnx", 2.0), scaled(tmp_path / "b.onnx", 2.0)
    assert checked(before, after, samples).parity.max_abs == 0


def test_changed_results_are_found(tmp_path: Path, samples: Dataset) -> None:
    text = refusal(scaled(tmp_path / "a.onnx", 2.0), scaled(tmp_path / "b.onnx", 2.1), samples)
    assert "a lossless pass changed the model's results" in text


def test_the_sample_that_was_changed_is_named(tmp_path: Path, samples: Dataset) -> None:
    (tmp_path / "quiet").mkdir()
    values = np.asarray(samples.inputs["x"]) * np.float32([0, 0, 0, 0, 1, 0]).reshape(6, 1)
    quiet = store(Samples({"x": values}), tmp_path / "quiet", "one sample is not zero")
    assert "output 'y', sample 4, value 0: " in refusal(
        scaled(tmp_path / "a.onnx", 2.0), scaled(tmp_path / "b.onnx", 2.1), quiet
    )


def test_a_frozen_axis_is_found(tmp_path: Path, samples: Dataset) -> None:
    text = refusal(scaled(tmp_path / "a.onnx", 2.0), scaled(tmp_path / "b.onnx", 2.0, time=12), samples)
    assert "axis 1 of input 'x' is no longer dynamic" in text


def test_a_renamed_axis_is_found(tmp_path: Path, samples: Dataset) -> None:
    text = refusal(scaled(tmp_path / "a.onnx", 2.0), scaled(tmp_path / "b.onnx", 2.0, time="unk__0"), samples)
    assert "axis 1 of input 'x' became 'unk__0' (was 'time')" in text
    assert "axis 1 of output 'y' became 'unk__0' (was 'time')" in text


def test_a_renamed_output_is_found(tmp_path: Path, samples: Dataset) -> None:
    text = refusal(scaled(tmp_path / "a.onnx", 2.0), scaled(tmp_path / "b.onnx", 2.0, name="other"), samples)
    assert "outputs are other instead of y" in text


def test_sizes_that_the_model_itself_refuses_are_no_fault_of_the_pass(tmp_path: Path, samples: Dataset) -> None:
    before, after = (scaled(tmp_path / name, 2.0, reshape=4) for name in ("a.onnx", "b.onnx"))
    assert checked(before, after, samples).parity.max_abs == 0  # 12 / 2 is no multiple of 4


def test_a_model_that_takes_one_row_only_is_no_fault_of_the_pass(tmp_path: Path, samples: Dataset) -> None:
    models = []
    for name in ("a.onnx", "b.onnx"):
        proto = onnx.load(scaled(tmp_path / name, 2.0, reshape=4).path)
        shape = next(tensor for tensor in proto.graph.initializer if tensor.name == "shape")
        shape.CopyFrom(numpy_helper.from_array(np.array([1, 3, 4], np.int64), "shape"))
        onnx.save(proto, tmp_path / name)
        models.append(open_onnx(tmp_path / name))
    assert checked(*models, samples).parity.max_abs == 0


def test_rounding_is_that_of_all_samples(tmp_path: Path, samples: Dataset) -> None:
    """Where a sample's outputs are all but zero, they are so as the small difference of large values."""
    (tmp_path / "faint").mkdir()
    values = np.asarray(samples.inputs["x"]) * np.float32([1e-8, 1, 1, 1, 1, 1]).reshape(6, 1)
    faint = store(Samples({"x": values}), tmp_path / "faint", "one sample is faint")
    before = scaled(tmp_path / "a.onnx", 2.0)
    proto = onnx.load(before.path)
    proto.graph.node[0].output[0] = "z"
    proto.graph.node.append(helper.make_node("Add", ["z", "bit"], ["y"]))
    proto.graph.initializer.append(numpy_helper.from_array(np.array([6e-8], np.float32), "bit"))
    onnx.save(proto, tmp_path / "b.onnx")
    assert checked(before, open_onnx(tmp_path / "b.onnx"), faint).parity.max_abs < 1e-6


def test_a_loud_sample_excuses_no_other(tmp_path: Path, samples: Dataset) -> None:
    (tmp_path / "loud").mkdir()
    values = np.asarray(samples.inputs["x"]) * np.float32([1e5, 1, 1, 1, 1, 1]).reshape(6, 1)
    loud = store(Samples({"x": values}), tmp_path / "loud", "one sample is loud")
    before = scaled(tmp_path / "a.onnx", 2.0)
    proto = onnx.load(before.path)
    proto.graph.node[0].output[0] = "z"
    proto.graph.node.append(helper.make_node("Add", ["z", "much"], ["y"]))
    proto.graph.initializer.append(numpy_helper.from_array(np.array([1.0], np.float32), "much"))
    onnx.save(proto, tmp_path / "b.onnx")
    assert "a lossless pass changed the model's results" in refusal(before, open_onnx(tmp_path / "b.onnx"), loud)


def positive(path: Path, above: float = 0.0, factor: float = 1.0) -> Model:
    """y holds the values of x that are above a limit: as many as there are, in each sample, or none."""
    nodes = [
        helper.make_node("Greater", ["x", "above"], ["which"]), helper.make_node("Mul", ["x", "factor"], ["z"]),
        helper.make_node("Compress", ["z", "which"], ["y"]),
    ]  # fmt: skip
    weights = [
        numpy_helper.from_array(np.float32(value), name) for name, value in (("above", above), ("factor", factor))
    ]
    graph = helper.make_graph(
        nodes, "positive", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 12])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["found"])], weights,
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return open_onnx(path)


def test_outputs_may_differ_in_size(tmp_path: Path, samples: Dataset) -> None:
    before = positive(tmp_path / "a.onnx")
    assert checked(before, positive(tmp_path / "b.onnx"), samples).parity.max_abs == 0
    assert "a lossless pass changed" in refusal(before, positive(tmp_path / "c.onnx", factor=1.1), samples)
    assert ": the shape is" in refusal(before, positive(tmp_path / "d.onnx", above=0.5), samples)
    nothing = positive(tmp_path / "e.onnx", above=1e9)
    assert checked(nothing, positive(tmp_path / "f.onnx", above=1e9), samples).parity.cosine == 1
    assert ": the shape is" in refusal(nothing, before, samples)
