"""What a set of layers should save in a mode."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopt.compress.quantization.mode_estimate import ModeEstimate

amounts = st.lists(st.tuples(st.floats(-2, 2), st.floats(0, 1)), min_size=1, max_size=5)


def test_each_change_of_type_costs_what_lies_at_its_boundary() -> None:
    estimate = ModeEstimate("static", {"a": 3.0, "b": 2.0, "c": 1.0}, {"a": 0.5, "b": 0.25, "c": 0.125, "": 0.0625})
    assert estimate.saved(()) == 0.0
    assert estimate.saved(("a", "b", "c")) == 6.0 - 0.5 - 0.0625
    assert estimate.saved(("b",)) == 2.0 - 0.25 - 0.125


@given(amounts, st.floats(0, 1))
def test_the_best_set_saves_as_much_as_any(layers: list[tuple[float, float]], end: float) -> None:
    names = [f"n{number}" for number in range(len(layers))]
    savings = dict(zip(names, (saved for saved, _ in layers), strict=True))
    boundaries = dict(zip(names, (cost for _, cost in layers), strict=True)) | {"": end}
    estimate = ModeEstimate("static", savings, boundaries)
    every = [chosen for size in range(len(names) + 1) for chosen in combinations(names, size)]
    assert estimate.saved(estimate.best()) == pytest.approx(max(map(estimate.saved, every)))


def test_a_price_on_errors_leaves_the_layers_that_make_them() -> None:
    estimate = ModeEstimate("static", {"a": 1.0, "b": 1.0}, {}, errors={"b": 10.0})
    assert estimate.best() == ("a", "b")
    assert estimate.best(1.0) == ("a",)
