"""Whether a runtime is given work: what counts as its death, and how long a look may take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from campaign_parts import figures, model
from deployables import in_runtime
from hypothesis import given
from hypothesis import strategies as st

from mlopt.core.errors import MeasureError, MissingPackage, MloptError, ModelError
from mlopt.measure import first_look
from mlopt.measure.evaluate import Evaluator
from mlopt.run import probe


@pytest.fixture
def evaluator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluator:
    found = figures(tmp_path)
    monkeypatch.setattr(type(found), "batch_size", 1, raising=False)
    monkeypatch.setattr(type(found), "source_seconds", 1.0, raising=False)
    return found


@pytest.mark.parametrize("asking", [True, False])
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MeasureError("it could not be run", got="it hung"), "it could not be run: it hung"),
        (MissingPackage("it is not installed"), "it is not installed"),
        (ModelError("an operator is not known"), None),
    ],
)
def test_a_model_that_is_refused_is_no_death(
    tmp_path: Path, evaluator: Evaluator, error: MloptError, said: str | None, asking: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    looked: list[int] = []

    def raised(*_: Any, **__: Any) -> None:
        raise error

    def look(_candidate: Any, few: Any, *_: Any, **__: Any) -> None:
        looked.append(few.count)
        if not asking:
            raised()

    monkeypatch.setattr(first_look, "look", look)
    ask = raised if asking else lambda _one: None
    runtimes = probe.Liveness(evaluator, ask)
    assert runtimes.died(in_runtime(model(tmp_path, "one"))) == said
    assert runtimes.died(in_runtime(model(tmp_path, "other"))) == said
    assert looked == ([] if asking else [1])


@given(st.floats(0, 1e4), st.integers(1, 64))
def test_a_model_that_takes_long_is_given_longer_than_it_takes(seconds: float, samples: int) -> None:
    class Known:
        source_seconds = seconds

        class dataset:
            count = 8

    found = probe.patience(Known(), samples)  # type: ignore[arg-type]
    assert found >= first_look.PATIENCE
    assert found > 2 * (samples + 12) * seconds / 8
