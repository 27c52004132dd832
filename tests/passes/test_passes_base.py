"""What a pass declares and is configured with: closed types, and what holds unless it says otherwise."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from pass_runs import PLAIN_X86
from pydantic import Field, ValidationError

from mlopt.core.target import Objective, Target
from mlopt.formats.model import ONNX, Model
from mlopt.passes.base import Context, Pass, PassConfig, PassResult, never
from mlopt.results.budget import Budget


class Config(PassConfig):
    """A pass's own."""

    level: int = Field(default=1, ge=0, description="how much")


def run(_model: Model, _config: Config, context: Context) -> PassResult:
    return PassResult(context.out)


def test_a_configuration_is_closed_and_does_not_change() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        Config.model_validate({"levle": 2})
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        Config(level=-1)
    with pytest.raises(ValidationError, match="frozen"):
        Config().level = 2  # type: ignore[misc]


def test_a_pass_promises_the_most_unless_it_says_otherwise() -> None:
    """Lossless, needing nothing, refusing nothing: what is not declared is held against it."""
    made = Pass("p", 1, "", frozenset({ONNX}), ONNX, Config, run)
    assert (made.lossy, made.refuse, made.requires.packages, made.requires.gpu) == (False, never, (), False)
    assert (made.config().searches, made.config().foreign) == (False, False)
    with pytest.raises(FrozenInstanceError):
        made.lossy = True  # type: ignore[misc]


def test_a_pass_travels_to_its_worker() -> None:
    made = Pass("p", 1, "", frozenset({ONNX}), ONNX, Config, run)
    assert pickle.loads(pickle.dumps(made)) == made


def test_a_context_promises_no_data_and_the_default_budget(tmp_path: Path) -> None:
    context = Context(tmp_path, Target(), Objective.LATENCY, PLAIN_X86)
    assert (context.calibration, context.samples, context.train, context.measuring) == (None, None, None, None)
    assert context.budget == Budget()
