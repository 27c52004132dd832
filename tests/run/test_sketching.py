"""At packing: the evaluation data and what the shipped model answers to it are sketched, and nothing fails for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import predicted
import pytest
from deployables import in_runtime

from mlopt.core.cache import Store
from mlopt.core.errors import MeasureError
from mlopt.core.hardware import detect
from mlopt.data.dataset import Samples, store
from mlopt.formats.onnx.file import open_onnx
from mlopt.measure.evaluate import Evaluator
from mlopt.run import sketching
from mlopt.run.sketching import sketched
from mlopt.sketches import library, read


@pytest.fixture
def evaluator(tmp_path: Path) -> Evaluator:
    source = in_runtime(open_onnx(predicted.words(tmp_path / "source.onnx")))
    dataset = store(Samples(predicted.rows(30), np.arange(30) % 3), tmp_path / "data", "thirty")
    return Evaluator(
        Store(tmp_path / "cache"), dataset, "fidelity", source, "source", 4, detect(), tmp_path, "test",
    )  # fmt: skip


@pytest.mark.process
def test_inputs_and_outputs_of_every_sample_are_in_it(evaluator: Evaluator) -> None:
    found = sketched(evaluator.source, evaluator)
    assert found.why_not is None
    assert found.document is not None
    made = read(found.document, "here")
    assert made.rows == made.offered == evaluator.dataset.count
    assert {(one.side, one.name) for one in made.tensors} == {
        *(("input", spec.name) for spec in evaluator.source.model.inputs),
        *(("output", spec.name) for spec in evaluator.source.model.outputs),
    }
    assert all(one.rows == made.rows for one in made.tensors)


def test_where_the_package_is_absent_a_note_says_so(evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sketching, "installed", lambda: False)
    found = sketched(evaluator.source, evaluator)
    assert found.document is None
    assert "not sketched" in str(found.why_not)
    assert library.installed(), "it is only said to be absent"


def test_outputs_that_cannot_be_had_fail_nothing(evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise MeasureError("the model cannot be evaluated", got="it is gone")

    monkeypatch.setattr(Evaluator, "outputs", fails)
    found = sketched(evaluator.source, evaluator)
    assert found.document is None
    assert "it is gone" in str(found.why_not)
