"""How a runtime may open a model, as it says in a process of its own."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from campaign_parts import model
from deployables import in_runtime

from mlopt.core.errors import MeasureError
from mlopt.measure import ways_to_open
from mlopt.measure.ways_to_open import choices
from mlopt.runtimes import table as runtimes
from mlopt.runtimes.base import Deployable, Runtime, RuntimeOptions


def both(options: RuntimeOptions, one_size: bool) -> tuple[RuntimeOptions, ...]:
    return options, options.model_copy(update={"threads": 3 if one_size else 2})


def crash(*_: Any) -> Any:
    os.abort()


def hang(*_: Any) -> Any:
    time.sleep(60)


def one(folder: Path) -> Deployable:
    return Deployable(model(folder, "one"), "other", RuntimeOptions(threads=1))


@pytest.fixture(autouse=True)
def _another_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Runtime("other", frozenset({"onnx"}), RuntimeOptions, pytest.fail, choices=both)
    monkeypatch.setattr(runtimes, "BUILTIN", (*runtimes.BUILTIN, other))


def test_a_runtime_that_leaves_no_choice_is_not_asked(tmp_path: Path) -> None:
    """No process is started: one would fail this test."""
    own = in_runtime(model(tmp_path, "one"))
    assert choices(own, one_size=True, log=tmp_path / "log", patience=60) == (own,)


def test_what_it_says_is_taken(tmp_path: Path) -> None:
    found = ways_to_open._options(one(tmp_path), True)
    assert [each.threads for each in found] == [1, 3]


@pytest.mark.process
@pytest.mark.parametrize(("end", "told"), [(crash, "SIGABRT"), (hang, "did not answer")])
def test_one_that_dies_takes_nothing_along(
    tmp_path: Path, end: Any, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ways_to_open, "_options", end)
    with pytest.raises(MeasureError, match="the runtime other could not be asked") as caught:
        choices(one(tmp_path), one_size=True, log=tmp_path / "log", patience=3)
    assert told in str(caught.value.problems[0].got)
