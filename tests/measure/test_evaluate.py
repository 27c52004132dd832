"""Two small real models, judged on the same samples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from deployables import in_runtime
from onnx import TensorProto, helper, numpy_helper

from mlopt.core.cache import Store
from mlopt.core.hardware import detect
from mlopt.data.dataset import Samples, store
from mlopt.formats.model import TORCH, Model
from mlopt.formats.onnx.file import open_onnx
from mlopt.measure.evaluate import Evaluator
from mlopt.runtimes.base import Deployable


def linear(path: Path, weights: Any) -> Model:
    """A classifier of three classes: y = x w."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(np.asarray(weights, np.float32), "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return open_onnx(path)


@pytest.fixture
def source(tmp_path: Path) -> Deployable:
    """Names the largest input."""
    return in_runtime(linear(tmp_path / "source.onnx", np.eye(3)))


@pytest.fixture
def final(tmp_path: Path) -> Deployable:
    """Takes class 2 for class 1."""
    return in_runtime(linear(tmp_path / "final.onnx", [[1, 0, 0], [0, 1, 1.5], [0, 0, 1]]))


@pytest.fixture
def evaluator(tmp_path: Path, source: Deployable) -> Evaluator:
    labels = np.arange(30) % 3
    dataset = store(Samples({"x": np.eye(3, dtype=np.float32)[labels]}, labels), tmp_path / "data", "thirty")
    return Evaluator(
        Store(tmp_path / "cache"), dataset, "accuracy", source, "source", 1, detect(),
        tmp_path, "test",
    )  # fmt: skip


@pytest.mark.process
def test_samples_that_differ_are_named(evaluator: Evaluator, source: Deployable, final: Deployable) -> None:
    drop = evaluator.drop(final)
    assert (drop.disagreements, drop.n, drop.vs) == (10, 30, "source")
    rows = evaluator.differing(final)
    assert [(row.sample, row.label, row.reference, row.final) for row in rows] == [
        (number, "1", "1", "2") for number in range(1, 30, 3)
    ]
    some = evaluator.differing(final, limit=4)
    assert len(some) == 4
    assert set(some) < set(rows)
    assert evaluator.differing(source) == ()


@pytest.mark.process
def test_scores_are_computed_once(evaluator: Evaluator, final: Deployable, monkeypatch: pytest.MonkeyPatch) -> None:
    first = evaluator.drop(final)
    monkeypatch.setattr("mlopt.measure.evaluate.score", None)
    assert evaluator.drop(final) == first
    assert evaluator.accuracy(final).value == pytest.approx(2 / 3)


@pytest.mark.process
def test_what_a_lossless_step_changed_on_any_sample_is_told(
    evaluator: Evaluator, source: Deployable, final: Deployable
) -> None:
    assert evaluator.changed(source, source) is None
    told = "output 'y', sample 1: value 2 is 1.5 where 0 was expected; 10 of 30 evaluation samples differ"
    assert evaluator.changed(source, final) == told


@pytest.mark.process
def test_a_source_that_answers_nan_is_said_to(tmp_path: Path, evaluator: Evaluator) -> None:
    bad = in_runtime(linear(tmp_path / "bad.onnx", [[1, 0, 0], [0, np.nan, 0], [0, 0, 1]]))
    judge = replace(evaluator, source=bad, metric="fidelity")
    (note,) = judge.notes
    assert note == (
        "the source model itself gives NaN or infinity on 30 of 30 evaluation samples, first on sample 0 (output 'y')"
    )
    told = judge.changed(bad, in_runtime(linear(tmp_path / "good.onnx", np.eye(3))))
    assert str(told).endswith("30 of 30 evaluation samples differ; the source itself gives NaN or infinity there")


def test_only_a_source_in_pytorch_is_left_without_fidelity(
    evaluator: Evaluator, source: Deployable, final: Deployable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a pass makes of it in PyTorch is compared with it, as anything else."""
    started, pruned = (replace(each, model=replace(each.model, kind=TORCH)) for each in (source, final))
    answers = {started.model.digest: np.eye(3), pruned.model.digest: np.eye(3) * 1.5}
    monkeypatch.setattr(Evaluator, "outputs", lambda _self, judged: {"y": answers[judged.model.digest]})
    judge = replace(evaluator, source=started)
    assert judge.fidelity(started) is None
    found = judge.fidelity(pruned)
    assert found is not None
    assert found.relative_error == pytest.approx(0.5)
    elsewhere = judge.fidelity(replace(started, options=started.options.model_copy(update={"threads": 7})))
    assert elsewhere is not None, "the same model, run otherwise, may answer otherwise"
