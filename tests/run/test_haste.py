"""A run in haste: everything gets shorter, nothing longer, and the report tells."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopt.passes.table import table
from mlopt.recipe.schema import Measure, Recipe, Step
from mlopt.run.haste import SPENT, Haste, effort_of, hastened, told_of
from mlopt.run.outcomes import Outcome


def recipe(measure: Measure, seconds: float = 240.0) -> Recipe:
    steps = [Step(name="simplify", config=table()["simplify"].config())]
    steps += [Step(name="quantize", config=table()["quantize"].config(seconds=seconds), optional=True)]
    base = {"apiVersion": "mlopt/v1", "name": "net", "model": {"source": "net.onnx"}, "passes": steps}
    return Recipe.model_validate({**base, "measure": measure}, context={"passes": table()})


MEASURES = st.builds(Measure, seconds=st.floats(0.01, 3600), rounds=st.integers(7, 100), max_time=st.floats(0.1, 9000))


@settings(deadline=None)  # the first example imports every pass
@given(MEASURES, st.floats(0.1, 9000), st.booleans(), st.none() | st.floats(1, 1e5))
def test_nothing_gets_longer_and_what_gets_shorter_is_told(
    measure: Measure, seconds: float, quick: bool, time_limit: float | None
) -> None:
    before = recipe(measure, seconds)
    after, shortened = hastened(before, quick=quick, time_limit=time_limit)
    assert after.measure.seconds <= measure.seconds
    assert after.measure.rounds <= measure.rounds
    assert after.measure.max_time <= measure.max_time
    assert getattr(after.passes[1].config, "seconds") <= seconds  # noqa: B009 - of any pass's configuration
    assert Measure.model_validate(after.measure.model_dump()) == after.measure
    assert (after == before) == (not shortened)
    assert quick or time_limit is not None or after == before


def test_a_quick_run_searches_and_measures_less() -> None:
    after, shortened = hastened(recipe(Measure()), quick=True, time_limit=None)
    assert after.measure.seconds * after.measure.rounds < Measure().seconds * Measure().rounds
    assert "passes.quantize.seconds: 30 instead of 240" in shortened
    assert "measure.seconds: 1 instead of 3" in shortened


def test_a_time_limit_is_spent_and_never_negative() -> None:
    now = 100.0
    haste = Haste(time_limit=60, clock=lambda: now, begun=100.0)
    assert (haste.left(), haste.spent()) == (60, None)
    now = 170.0
    assert (haste.left(), haste.spent()) == (0, SPENT)
    assert Haste().left() == float("inf")


def test_the_report_tells_what_was_left_out() -> None:
    step = recipe(Measure()).passes[1]
    outcomes = [Outcome(step, 1, "refused", SPENT), Outcome(step, 1, "refused", "it is quantized already")]
    effort = effort_of(Haste(quick=True, time_limit=300), ["measure.seconds: 1 instead of 3"], outcomes)
    assert effort is not None
    assert effort.shortened == ("measure.seconds: 1 instead of 3", f"quantize: {SPENT}")
    (said,) = told_of(effort)
    assert said.startswith("this run was to take less time (--quick, --budget 300s)")
    assert effort_of(Haste(), (), outcomes) is None
    assert told_of(None) == ()


@pytest.mark.parametrize("quick", [True, False])
def test_a_run_that_had_nothing_to_shorten_says_so(quick: bool) -> None:
    effort = effort_of(Haste(quick=quick, time_limit=None if quick else 9.0), (), ())
    assert "nothing had to be made shorter" in told_of(effort)[0]
