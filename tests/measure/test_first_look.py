"""A first look: what a candidate answers, about how long it takes, and that it takes nothing along when it dies."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deployables import in_runtime
from quantization_models import cnn, random

from mlopt.core.errors import MeasureError, ModelError
from mlopt.data.dataset import Dataset, Samples, store
from mlopt.formats.onnx.file import open_onnx
from mlopt.measure import first_look as looking
from mlopt.measure.candidate import Candidate
from mlopt.measure.first_look import look
from mlopt.runtimes.base import Feeds
from mlopt.runtimes.table import open_session


@pytest.fixture
def few(tmp_path: Path) -> Dataset:
    return store(Samples({"image": random(3, 3, 8, 8)}), tmp_path / "few", "made")


def candidate(folder: Path) -> Candidate:
    return Candidate("one", in_runtime(open_onnx(cnn(folder / "m.onnx"))))


@pytest.mark.process
def test_it_tells_the_answers_and_the_time(tmp_path: Path, few: Dataset) -> None:
    seen = look(candidate(tmp_path), few, tmp_path / "log", patience=60)
    with open_session(candidate(tmp_path).deployable) as session:
        (expected,) = session.run({"image": few.inputs["image"]}).values()
    (got,) = seen.outputs.values()
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    assert seen.ms > 0


@pytest.mark.process
def test_what_is_refused_is_told_as_it_is(tmp_path: Path, few: Dataset) -> None:
    one = candidate(tmp_path)
    one.model.path.write_bytes(b"nothing")
    with pytest.raises(ModelError):
        look(one, few, tmp_path / "log", patience=60)


def crash(*_: Any) -> Any:
    os.kill(os.getpid(), 11)


def hang(*_: Any) -> Any:
    time.sleep(60)


@pytest.mark.process
@pytest.mark.parametrize(("end", "told"), [(crash, "SIGSEGV"), (hang, "did not answer")])
def test_a_process_that_dies_or_hangs_ends_alone(
    tmp_path: Path, few: Dataset, end: Any, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "_seen", end)
    with pytest.raises(MeasureError, match="it could not be run") as caught:
        look(candidate(tmp_path), few, tmp_path / "log", patience=3)
    assert told in str(caught.value.problems[0].got)


def test_the_feeds_are_those_of_any_session(tmp_path: Path, few: Dataset) -> None:
    feeds: Feeds = {"image": few.inputs["image"][:1]}
    with open_session(candidate(tmp_path).deployable) as session:
        assert session.run(feeds)


def own(*_: Any) -> dict[str, Any]:
    return {"names": {}, "answers": {"process": str(os.getpid())}, "ms": 1.0}


def second_time(candidate: Candidate, few: Dataset, out: Path) -> dict[str, Any]:
    """Crash in a process that has been here before."""
    if _HERE:
        crash()
    _HERE.append(out)
    return own()


_HERE: list[Path] = []


@pytest.mark.process
def test_those_of_one_runtime_share_a_process_as_long_as_it_lives(
    tmp_path: Path, few: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = candidate(tmp_path)
    monkeypatch.setattr(looking, "read_outputs", lambda *_: {})
    with looking.Looks(few, tmp_path / "log") as looks:
        monkeypatch.setattr(looking, "_seen", own)
        first, second = (looks.at(one, patience=60).answers for _ in range(2))
        monkeypatch.setattr(looking, "_seen", crash)
        with pytest.raises(MeasureError, match="it could not be run"):
            looks.at(one, patience=60)
        monkeypatch.setattr(looking, "_seen", own)
        third = looks.at(one, patience=60).answers
    assert first == second != third


@pytest.mark.process
def test_what_dies_of_the_one_before_is_looked_at_again(
    tmp_path: Path, few: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "read_outputs", lambda *_: {})
    monkeypatch.setattr(looking, "_seen", second_time)
    with looking.Looks(few, tmp_path / "log") as looks:
        assert {looks.at(candidate(tmp_path), patience=60).ms for _ in range(3)} == {1.0}
