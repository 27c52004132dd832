"""Outputs where two models are deployed: a runtime that computes otherwise, names that changed, and what cannot run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from bench_models import dense
from deployables import in_runtime

from mlopt.core.errors import MeasureError
from mlopt.core.worker import WorkerDiedError
from mlopt.data.dataset import Dataset, Samples, store
from mlopt.formats.model import ONNX, Model
from mlopt.formats.onnx.file import open_onnx
from mlopt.runtimes import table as runtimes
from mlopt.runtimes.base import Deployable, Feeds, Runtime, RuntimeOptions, Session
from mlopt.runtimes.table import open_session
from mlopt.tensors import outputs
from mlopt.tensors.outputs import OutputComparison, compare_outputs


class Rounding(RuntimeOptions):
    digits: int = 1


@contextmanager
def rounding(model: Model, options: Rounding) -> Iterator[Session]:
    """Open a model in ONNX Runtime, and round what it answers."""

    class Rounded:
        def __init__(self, inner: Session) -> None:
            self.inner, self.inputs, self.outputs = inner, inner.inputs, inner.outputs

        def run(self, feeds: Feeds) -> dict[str, Any]:
            return {name: np.round(each, options.digits) for name, each in self.inner.run(feeds).items()}

    with open_session(in_runtime(model)) as session:
        yield Rounded(session)


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Runtime("other", frozenset({ONNX}), Rounding, rounding)
    monkeypatch.setattr(runtimes, "BUILTIN", (*runtimes.BUILTIN, other))
    monkeypatch.setattr(outputs, "run_in_worker", lambda _log, function, *rest: function(*rest))


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    values = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    return store(Samples({"x": values}), tmp_path / "data", "made here")


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return open_onnx(dense(tmp_path / "net.onnx", width=4))


def renamed(model: Model, name: str) -> Model:
    """The same with its output called otherwise."""
    proto = onnx.load(model.path)
    old = proto.graph.output[0].name
    for node in proto.graph.node:
        node.output[:] = [name if each == old else each for each in node.output]
    proto.graph.output[0].name = name
    onnx.save(proto, path := model.path.with_name("renamed.onnx"))
    return open_onnx(path)


def compared(a: Deployable, b: Deployable, data: Dataset, **more: Any) -> OutputComparison:
    return compare_outputs(a, b, data, data.path.with_name("log"), **more)


def in_other(model: Model, digits: int = 1) -> Deployable:
    return Deployable(model, "other", Rounding(threads=1, digits=digits))


def test_one_file_answers_otherwise_in_another_runtime(model: Model, data: Dataset) -> None:
    found = compared(in_runtime(model), in_other(model, 2), data)
    assert (found.a, found.b, found.notes) == ("onnxruntime", "other digits=2", ())
    (one,) = found.differences
    assert 0 < one.max_abs <= 0.00501
    assert one.sqnr_db is not None
    closer = compared(in_runtime(model), in_other(model, 4), data).differences[0].sqnr_db
    assert closer is not None
    assert closer > one.sqnr_db + 20


def test_in_one_runtime_a_file_is_equal_to_itself(model: Model, data: Dataset) -> None:
    found = compared(in_other(model), in_other(model), data)
    assert (found.a, found.b) == ("other", "other")
    assert [(each.sqnr_db, each.max_abs, each.cosine) for each in found.differences] == [(None, 0.0, 1.0)]


def test_an_output_that_was_renamed_is_matched_by_its_place(model: Model, data: Dataset) -> None:
    (one,) = compared(in_runtime(model), in_runtime(renamed(model, "answer")), data).differences
    assert (one.output, one.other, one.sqnr_db) == (model.outputs[0].name, "answer", None)


def test_what_has_another_shape_is_no_difference_but_a_note(
    model: Model, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(np, "round", lambda each, _digits: each[:, :1])
    found = compared(in_runtime(model), in_other(model), data)
    assert found.differences == ()
    assert found.notes == (f"'{model.outputs[0].name}' is [1, 4] in one model and [1, 1] in the other",)


def test_a_process_that_dies_is_told_with_where_it_ran(
    model: Model, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: Any) -> Any:
        raise WorkerDiedError("it was ended by SIGSEGV")

    monkeypatch.setattr(outputs, "run_in_worker", dies)
    with pytest.raises(MeasureError, match="the model could not be run") as error:
        compared(in_runtime(model), in_other(model), data)
    (problem,) = error.value.problems
    assert (problem.where, problem.got) == (f"{model.path}, in onnxruntime", "it was ended by SIGSEGV")
