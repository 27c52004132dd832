"""The choice of layers, against trying every set."""

from __future__ import annotations

from itertools import compress, product

from hypothesis import given, settings
from hypothesis import strategies as st

from mlopt.compress.quantization.layer_selection import best_set

NUMBERS = st.floats(-10, 10).map(lambda value: round(value, 3))
COSTS = st.floats(0, 5).map(lambda value: round(value, 3))


def value_of(chosen: tuple[bool, ...], rows: list[tuple[float, float, float]], last: float, price: float) -> float:
    value = sum(saving - price * error for saving, error, _ in compress(rows, chosen))
    before = (False, *chosen)
    crossed = sum(cost for was, now, (_, _, cost) in zip(before, chosen, rows, strict=False) if was != now)
    return value - crossed - (last if before[-1] else 0.0)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(NUMBERS, COSTS, COSTS), min_size=1, max_size=7), COSTS, COSTS)
def test_no_set_is_better(rows: list[tuple[float, float, float]], last: float, price: float) -> None:
    layers = [f"l{number}" for number in range(len(rows))]
    savings, errors, boundaries = ({n: row[k] for n, row in zip(layers, rows, strict=True)} for k in range(3))
    found = best_set(layers, savings, errors, {**boundaries, "": last}, price)
    best = max(value_of(chosen, rows, last, price) for chosen in product((False, True), repeat=len(rows)))
    assert abs(value_of(tuple(name in found for name in layers), rows, last, price) - best) < 1e-9


def test_a_hole_must_pay_for_its_edges() -> None:
    layers, savings, cheap = list("abc"), {"a": 2.0, "b": -1.0, "c": 2.0}, dict.fromkeys([*"abc", ""], 0.1)
    assert best_set(layers, savings, {}, cheap, 0.0) == ("a", "c")
    dear = dict.fromkeys([*"abc", ""], 0.6)
    assert best_set(layers, savings, {}, dear, 0.0) == ("a", "b", "c")
    assert best_set(layers, savings, {"b": 9.0}, dear, 1.0) == ("a", "c")
    assert best_set(layers, {"a": -1.0, "b": -1.0, "c": -1.0}, {}, cheap, 0.0) == ()
