"""What the framework finds when a pass does not keep what it declares."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from deployables import in_runtime
from onnx import TensorProto, helper, numpy_helper
from openvino_models import in_openvino, needed
from pass_runs import applied, run_pass

from mlopt.core.errors import ModelError, PassError
from mlopt.data.dataset import Dataset, Samples, store
from mlopt.formats.model import Model
from mlopt.formats.onnx.file import open_onnx
from mlopt.passes.simplify import PASS
from mlopt.passes.specialize import PASS as SPECIALIZE
from mlopt.passes.specialize import SpecializeConfig
from mlopt.run.contract import Conformity, _shapes, check_output
from mlopt.runtimes.table import open_session


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


SIZED = SpecializeConfig(dims={"time": 12})


def fixed(before: Model, after: Model, samples: Dataset, config: SpecializeConfig = SIZED) -> Conformity:
    return check_output(SPECIALIZE, in_runtime(before), in_runtime(after), samples, config)


def test_a_size_that_was_declared_may_be_fixed_and_no_other(tmp_path: Path, samples: Dataset) -> None:
    before, after = scaled(tmp_path / "a.onnx", 2.0), scaled(tmp_path / "b.onnx", 2.0, time=12)
    assert fixed(before, after, samples).parity.max_abs == 0
    for made, config in (
        (before, SIZED), (after, SpecializeConfig(dims={"batch": 12})), (after, SpecializeConfig(dims={"time": 6})),
        (after, SpecializeConfig(dims={"time": 12, "batch": 1})),
    ):  # fmt: skip
        with pytest.raises(PassError, match="the pass changed the model's interface"):
            fixed(before, made, samples, config)


def test_the_sizes_that_are_left_are_still_tried(tmp_path: Path, samples: Dataset) -> None:
    before, after = scaled(tmp_path / "a.onnx", 2.0), scaled(tmp_path / "b.onnx", 2.0, time=12)
    proto = onnx.load(after.path)
    proto.graph.initializer.append(numpy_helper.from_array(np.array([1, 12]), "one"))
    proto.graph.node[0].output[0] = "z"
    proto.graph.node.append(helper.make_node("Reshape", ["z", "one"], ["y"]))  # right for one sample at a time
    onnx.save(proto, after.path)
    with pytest.raises(ModelError, match=r"running Reshape node(.|\n)*got +x: float32"):
        fixed(before, open_onnx(after.path), samples)


def test_a_value_that_was_not_declared_is_found(tmp_path: Path, samples: Dataset) -> None:
    before, after = scaled(tmp_path / "a.onnx", 2.0, time=1), scaled(tmp_path / "b.onnx", 2.0, time=1)
    values = store(Samples({"x": np.zeros((6, 1), np.float32)}), tmp_path / "zeros", "zeros")
    bold = Model(
        after.kind, after.path, after.digest, (replace(after.inputs[0], value=0.0),), after.outputs, after.files
    )
    with pytest.raises(PassError, match=r"input 'x' is fixed at 0.0 \(was free\)"):
        checked(before, bold, values)
    with pytest.raises(PassError, match=r"input 'x' is free \(was fixed at 0.0\)"):  # a pass that forgets it
        checked(bold, before, values)


def test_a_size_of_an_output_that_is_not_what_its_name_says_is_found(tmp_path: Path, samples: Dataset) -> None:
    def doubled(path: Path, time: int | str) -> Model:
        model = scaled(path, 2.0, time=time)
        proto = onnx.load(path)
        proto.graph.node[0].output[0] = "z"
        proto.graph.node.append(helper.make_node("Concat", ["z", "z"], ["y"], axis=1))
        onnx.save(proto, path)
        return open_onnx(model.path)

    with pytest.raises(PassError, match="an output has another size than its name says") as caught:
        fixed(doubled(tmp_path / "a.onnx", "time"), doubled(tmp_path / "b.onnx", 12), samples)
    assert "'time' of output 'y' is 24" in str(caught.value)


def test_an_input_without_axes_is_fed_as_it_is_in_every_size(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "k"], ["y"])], "g", [value("x", 1, ["n", 4]), value("k", 1, [])],
        [value("y", 1, ["n", 4])],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "m.onnx")
    model = open_onnx(tmp_path / "m.onnx")
    data = Samples({"x": np.ones((4, 2, 4), np.float32), "k": np.ones(4, np.float32)})
    feeds = [feed for feed, _ in _shapes(model.inputs, store(data, tmp_path / "d", "ones"))]
    assert {feed["x"].shape for feed in feeds} == {(2, 4), (1, 4), (4, 4)}
    assert {feed["k"].shape for feed in feeds} == {()}


BRANCHES = """<ir_version: 9, opset_import: ["": 20, "ai.onnx.ml": 3]>
g (float[batch, time] x, bool odd) => (float[batch, time] y) <float k = {2}> {
  y = If(odd) <then_branch = a () => (float[batch, time] t) { t = ai.onnx.ml.Binarizer<threshold = 0.5>(x) },
               else_branch = b () => (float[batch, time] t) { t = Mul(x, k) }>
}
"""
"""OpenVINO knows no Binarizer, so it takes this model only once the branch is gone."""


@needed
def test_what_the_runtime_refuses_is_compared_in_another_one(tmp_path: Path) -> None:
    onnx.save(onnx.parser.parse_model(BRANCHES), tmp_path / "a.onnx")
    before, config = open_onnx(tmp_path / "a.onnx"), SpecializeConfig(inputs={"odd": False})
    values = np.random.default_rng(0).standard_normal((6, 1, 12)).astype(np.float32)
    samples = store(Samples({"x": values, "odd": np.zeros(6, bool)}), tmp_path / "whole", "random")
    with pytest.raises(ModelError, match="OpenVINO"), open_session(in_openvino(before)):
        pass
    made = open_onnx(applied(run_pass(SPECIALIZE, before, config.model_dump(), tmp_path)).path)
    assert check_output(SPECIALIZE, in_openvino(before), in_openvino(made), samples, config).parity.max_abs == 0
    proto = onnx.load(made.path)
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.array(3, np.float32), "k"))
    onnx.save(proto, made.path)
    with pytest.raises(PassError, match="a lossless pass changed the model's results"):
        check_output(SPECIALIZE, in_openvino(before), in_openvino(open_onnx(made.path)), samples, config)


@needed
def test_what_the_runtime_refuses_after_the_pass_too_is_an_error(tmp_path: Path) -> None:
    onnx.save(onnx.parser.parse_model(BRANCHES), tmp_path / "a.onnx")
    before = open_onnx(tmp_path / "a.onnx")
    values = np.zeros((6, 1, 12), np.float32)
    samples = store(Samples({"x": values, "odd": np.zeros(6, bool)}), tmp_path / "whole", "zeros")
    with pytest.raises(ModelError, match="OpenVINO"):
        check_output(PASS, in_openvino(before), in_openvino(before), samples)
