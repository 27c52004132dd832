"""Attempts at sizes for the free dimensions of a model: likely ones first, none twice, none without end."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopt.data.sizes import SIZE, Attempt, attempts, size_of
from mlopt.formats.model import TensorSpec


def spec(name: str, *shape: int | str) -> TensorSpec:
    return TensorSpec(name, "float32", shape)


def test_of_a_table_there_is_nothing_to_choose() -> None:
    assert list(attempts((spec("x", "batch", 4),))) == [Attempt({}, whole=False)]
    assert list(attempts((spec("x"),))) == [Attempt({}, whole=True)]


def test_samples_are_rows_of_a_batch_unless_the_batch_stands_elsewhere() -> None:
    assert next(attempts((spec("x", "n", "t"),))) == Attempt({"t": SIZE}, whole=False)
    assert next(attempts((spec("x", "t", "batch"),))) == Attempt({"t": SIZE, "batch": 1}, whole=True)
    assert next(attempts((spec("x", "n", "n"),))).whole


DIMENSIONS = st.integers(1, 3) | st.sampled_from(["batch", "t", "u", "t + u", "2*t", "past", "total", "h // 2"])
SPECS = st.lists(st.lists(DIMENSIONS, max_size=4), min_size=1, max_size=3).map(
    lambda shapes: tuple(spec(f"x{number}", *shape) for number, shape in enumerate(shapes))
)


@settings(deadline=None, max_examples=100)
@given(SPECS)
def test_every_attempt_is_another_and_gives_every_size(specs: tuple[TensorSpec, ...]) -> None:
    found = list(attempts(specs))
    assert 1 <= len(found) <= 60
    assert len({(tuple(sorted(each.sizes.items())), each.whole) for each in found}) == len(found)
    for each in found:
        for one in specs:
            assert all(size_of(size, each.sizes) >= 0 for size in one.shape[0 if each.whole else 1 :])


@pytest.mark.parametrize(
    ("name", "size"),
    [(7, 7), ("a", 3), ("a + b", 8), ("2*a - 1", 5), ("a - b", 0), ("b//a", 1), ("(a + b)/2", 4), ("a/(a - b)", 3)],
)
def test_a_size_may_be_made_of_others_and_is_never_negative(name: int | str, size: int) -> None:
    assert size_of(name, {"a": 3, "b": 5}) == size


def test_a_name_that_only_looks_like_arithmetic_is_a_name() -> None:
    assert size_of("my-input", {"my-input": 9, "my": 1, "input": 1}) == 9
    assert next(attempts((spec("x", "n", "my-input_1"),))).sizes == {"my-input_1": SIZE}
    assert next(attempts((spec("x", "n", "t", "t ** 9"),))).sizes == {"t": SIZE, "t ** 9": SIZE}


@pytest.mark.parametrize(
    "name", ["t" + " + t" * 500, "t" + "*t" * 100, "t*" + "9" * 4000, "(" * 5000, "t*" + "9" * 200, "t\x00"],
    ids=["deep", "a product", "digits", "parentheses", "some digits", "a zero byte"],
)  # fmt: skip
def test_a_strangers_name_asks_for_no_more_than_can_be_computed(name: str) -> None:
    for each in attempts((spec("x", "n", "t", name),)):
        assert size_of(name, each.sizes) <= 1 << 31
