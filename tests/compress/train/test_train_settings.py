"""How large a step is at which time, and keys that do not go together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mlopt.compress.train.settings import Training


@given(st.integers(1, 500), st.sampled_from(["cosine", "linear", "constant"]), st.floats(0, 0.9))
def test_the_step_size_goes_up_and_then_never_up_again(steps: int, schedule: str, warm_up: float) -> None:
    found = Training(schedule=schedule, warm_up=warm_up, learning_rate=2.0)  # type: ignore[arg-type]
    rates = [found.learning_rate_at(step, steps) for step in range(steps)]
    top = max(range(steps), key=rates.__getitem__)
    assert all(0 < rate <= 2.0 + 1e-12 for rate in rates)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


def test_the_ends_of_a_schedule() -> None:
    found = Training(learning_rate=1.0, warm_up=0.1)
    assert found.learning_rate_at(0, 100) == pytest.approx(0.1)
    assert found.learning_rate_at(10, 100) == pytest.approx(1.0)
    assert found.learning_rate_at(55, 100) == pytest.approx(0.5)
    assert found.learning_rate_at(99, 100) < 0.001
    assert Training(learning_rate=1.0, warm_up=0, schedule="linear").learning_rate_at(75, 100) == pytest.approx(0.25)


def test_patience_needs_samples_to_look_at() -> None:
    with pytest.raises(ValidationError, match="give held_out a share"):
        Training(patience=3, held_out=0)


@pytest.mark.parametrize("more", [{"epochs": 0}, {"learning_rate": 0}, {"step": "train.py"}, {"rate": 1}])
def test_what_cannot_be_is_refused(more: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Training(**more)  # type: ignore[arg-type]
