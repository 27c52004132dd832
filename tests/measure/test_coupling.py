"""Samples that influence each other: a result that holds for single ones only is refused, and no other."""

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
from mlopt.passes.quantize import PASS
from mlopt.run.contract import Conformity, check_output

WEIGHT = np.random.default_rng(1).standard_normal((8, 8)).astype(np.float32)


def centred(path: Path, *, limit: float = 1e9, axis: int = 0, training: bool = False) -> Model:
    """y = 1 + clip(x - mean(x), -limit, limit) w; of a sample alone, the mean over the batch leaves zeros.

    ``limit`` stands for a range that was observed on single samples; with ``training``, a BatchNormalization does it.
    """
    ones, zeros, node = np.ones(8, np.float32), np.zeros(8, np.float32), helper.make_node
    middle = [node("ReduceMean", ["x"], ["mean"], axes=[axis], keepdims=1), node("Sub", ["x", "mean"], ["c"])]
    if training:
        middle = [node("BatchNormalization", ["x", "ones", "zeros", "old_mean", "old_variance"], ["c", "m", "v"],
                       training_mode=1, name="norm")]  # fmt: skip
    nodes = [*middle, node("Clip", ["c", "low", "high"], ["r"]), node("Gemm", ["r", "w", "ones"], ["y"])]
    ends = {"low": np.float32(-limit), "high": np.float32(limit)}
    weights = {**{name: np.array(end) for name, end in ends.items()}, "w": WEIGHT, "ones": ones, "zeros": zeros}
    weights |= {"old_mean": WEIGHT[0], "old_variance": WEIGHT[1] ** 2}
    graph = helper.make_graph(
        nodes, "centred",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 8])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return open_onnx(path)


def checked(before: Model, after: Model, samples: Dataset) -> Conformity:
    return check_output(PASS, in_runtime(before), in_runtime(after), samples)


@pytest.fixture
def samples(tmp_path: Path) -> Dataset:
    (tmp_path / "data").mkdir()
    values = np.random.default_rng(0).standard_normal((12, 8)).astype(np.float32)
    return store(Samples({"x": values}), tmp_path / "data", "random")


def test_what_single_samples_do_not_show_is_found(tmp_path: Path, samples: Dataset) -> None:
    with pytest.raises(PassError) as caught:
        checked(centred(tmp_path / "a.onnx"), centred(tmp_path / "b.onnx", limit=0.1), samples)
    said = str(caught.value)
    assert "in this model the samples of a batch influence each other" in said
    assert "an error of at most 0.0% alone, and of " in said
    assert "`quantize: {mode: dynamic}`" in said


def test_an_export_in_training_mode_is_named(tmp_path: Path, samples: Dataset) -> None:
    models = (centred(tmp_path / f"{limit}.onnx", limit=limit, training=True) for limit in (9.0, 0.1))
    with pytest.raises(PassError) as caught:
        checked(*models, samples)
    assert "BatchNormalization 'norm': in training mode; call `model.eval()` and export" in str(caught.value)


@pytest.mark.parametrize("training", [False, True])
def test_a_small_error_in_a_batch_is_borne(tmp_path: Path, samples: Dataset, training: bool) -> None:
    models = (centred(tmp_path / f"{limit}.onnx", limit=limit, training=training) for limit in (9.0, 1.3))
    assert checked(*models, samples).parity.cosine > 0.9


def test_samples_that_leave_each_other_alone_are_no_case(tmp_path: Path, samples: Dataset) -> None:
    models = (centred(tmp_path / f"{limit}.onnx", limit=limit, axis=1) for limit in (9.0, 0.5))
    assert checked(*models, samples).parity.cosine < 0.99  # for the gates to say


def test_one_sample_alone(tmp_path: Path, samples: Dataset) -> None:
    (tmp_path / "one").mkdir()
    one = store(Samples({"x": np.asarray(samples.inputs["x"])[:1]}), tmp_path / "one", "one sample")
    models = (centred(tmp_path / f"{limit}.onnx", limit=limit) for limit in (9.0, 0.1))
    assert checked(*models, one).parity.max_abs == 0
