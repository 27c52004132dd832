"""What became of a step: what it wrote, and what the chain goes on with."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from campaign_parts import model
from deployables import in_runtime

from mlopt.passes.base import PassConfig
from mlopt.recipe.schema import Step
from mlopt.run.outcomes import Outcome, TrialVerdict

STEP = Step(name="simplify", config=PassConfig())


@pytest.mark.parametrize("status", ["applied", "cached"])
def test_the_chain_goes_on_with_what_was_written(tmp_path: Path, status: str) -> None:
    made = in_runtime(model(tmp_path, "made"))
    outcome = Outcome(STEP, 1, status, None, made)
    assert (outcome.model, outcome.kept) == (made.model, made)


def test_a_dropped_step_still_has_its_model(tmp_path: Path) -> None:
    made = in_runtime(model(tmp_path, "made"))
    outcome = Outcome(STEP, 1, "dropped", "slower", made, trial=TrialVerdict("slower"))
    assert (outcome.model, outcome.kept) == (made.model, None)


@pytest.mark.parametrize("status", ["refused", "failed"])
def test_a_step_that_wrote_nothing_is_not_gone_on_with(status: str) -> None:
    outcome = Outcome(STEP, 1, status, "why")
    assert (outcome.model, outcome.kept) == (None, None)


def test_what_became_of_a_step_stays_so() -> None:
    with pytest.raises(FrozenInstanceError):
        Outcome(STEP, 1, "refused", "why").status = "applied"  # type: ignore[misc]
