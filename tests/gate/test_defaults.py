"""The limits on the size of an error that a limit on its direction brings along."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopt.gate.defaults import OF_SIZE, implied, of_size
from mlopt.gate.limits import Gate, HardwareClass


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_a_stricter_cosine_never_allows_a_larger_error(one: float, other: float) -> None:
    strict, loose = of_size(max(one, other)), of_size(min(one, other))
    assert strict.relative_error <= loose.relative_error
    assert strict.shift <= loose.shift


@pytest.mark.parametrize("cosine", [0.9, 0.99, 0.999])
def test_an_error_without_direction_that_just_meets_the_cosine_meets_the_size(cosine: float) -> None:
    assert math.sqrt(2 * (1 - cosine)) < of_size(cosine).relative_error < 1.1 * math.sqrt(2 * (1 - cosine))


def test_a_cosine_of_1_leaves_room_for_rounding() -> None:
    assert of_size(1.0).relative_error > 0


def test_the_strictest_limit_on_the_cosine_brings_the_others_along() -> None:
    here = HardwareClass(cores=2)
    gates = [Gate(metric="fidelity.cosine", min=0.9), Gate(metric="fidelity.cosine", min=0.98, hardware=here)]
    found = implied(gates)
    assert {gate.metric for gate in found} == {"fidelity.relative_error", "fidelity.shift", "fidelity.worst_part"}
    assert found[0].max == of_size(0.98).relative_error
    assert {gate.hardware for gate in found} == {here}


@pytest.mark.parametrize("metric", OF_SIZE)
def test_who_limits_the_size_already_gets_no_limit_more(metric: str) -> None:
    assert implied([Gate(metric="fidelity.cosine", min=0.9), Gate(metric=metric, max=100)]) == ()


def test_without_a_least_cosine_nothing_is_implied() -> None:
    assert implied([]) == ()
    assert implied([Gate(metric="fidelity.cosine", max=0.9), Gate(metric="size_mb", max=1)]) == ()
