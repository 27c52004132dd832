"""Samples held against the value that an input is fixed at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlopt.core.errors import DataError
from mlopt.data.dataset import Samples
from mlopt.data.feeds import batches, check_inputs
from mlopt.data.fixed import value_problem
from mlopt.data.made_up import samples_of
from mlopt.data.sizes import attempts, fixed_size, parts_of
from mlopt.formats.model import TensorSpec
from mlopt.runtimes.fixed import check_of

RATE = TensorSpec("rate", "int64", (), 16000)
ROWS = TensorSpec("mask", "int64", (2, 3), ((1, 1, 0), (1, 1, 0)))


def test_the_first_sample_of_another_value_is_named() -> None:
    rates = np.full(9, 16000)
    assert value_problem(rates, RATE, "data") is None
    rates[[4, 7]] = 8000
    found = value_problem(rates, RATE, "data")
    assert found is not None
    assert found.got == "sample 4: 8000 instead of 16000"
    assert found.what == "a sample has another value than input 'rate' is fixed at"


def test_samples_are_whole_inputs_or_rows_of_a_batch() -> None:
    whole = np.broadcast_to(np.array([1, 1, 0]), (5, 2, 3))
    assert value_problem(whole, ROWS, "data") is None
    assert value_problem(whole[:, 0], ROWS, "data") is None
    found = value_problem(1 - whole[:, 0], ROWS, "data")
    assert found is not None
    assert found.got == "sample 0: 0 at [0] instead of 1"
    uneven = TensorSpec("mask", "int64", (2, 3), ((1, 1, 0), (1, 1, 1)))
    found = value_problem(whole[:, 0], uneven, "data")
    assert found is not None
    assert "differs from row to row" in str(found.got)


def test_an_input_that_is_free_takes_any_sample() -> None:
    assert value_problem(np.arange(3), TensorSpec("rate", "int64", ()), "data") is None


def test_data_for_a_fixed_model_are_held_against_it() -> None:
    specs = (TensorSpec("x", "float32", (1, 2)), RATE)
    samples = Samples({"x": np.zeros((3, 1, 2), np.float32), "rate": np.array([16000, 16000, 1], np.int32)})
    with pytest.raises(DataError, match=r"data: input 'rate'(.|\n)*sample 2: 1 instead of 16000"):
        check_inputs(samples, specs)
    right = Samples({**samples.inputs, "rate": np.full(3, 16000, np.int32)})
    assert check_inputs(right, specs).inputs["rate"].dtype == np.int64


@pytest.mark.parametrize(
    "specs",
    [
        (TensorSpec("x", "float32", (1, "n")), RATE),
        (TensorSpec("x", "float32", ("b", 3)), TensorSpec("m", "float32", (2, 3), 0.5)),
        (TensorSpec("x", "string", (2,)), TensorSpec("language", "string", (1,), "de")),
        (TensorSpec("x", "bool", (2, 3)), ROWS),
    ],
)
def test_samples_that_are_made_up_hold_what_is_fixed(specs: tuple[TensorSpec, ...]) -> None:
    check = check_of_inputs(specs)
    for attempt in attempts(specs):
        samples = samples_of(attempt, specs)
        for feeds, _ in batches(check_inputs(samples, specs), specs, 2):
            check(feeds)


def check_of_inputs(specs: tuple[TensorSpec, ...]) -> Any:
    from pathlib import Path

    from mlopt.formats.model import ONNX, Model

    return check_of(Model(ONNX, Path("m"), "", specs, (), ()))


@pytest.mark.parametrize(
    ("size", "known", "is_"),
    [
        (3, {}, 3), ("n", {"n": 4}, 4), ("n", {"m": 4}, "n"), ("a + b", {"a": 1, "b": 2}, 3),
        ("a + b", {"a": 1}, "a + b"), ("a + b", {"a + b": 9}, 9), ("2*a", {"a": 3}, 6), ("a//2", {"a": 5}, 2),
        ("a/2", {"a": 5}, "a/2"), ("a/2", {"a": 6}, 3), ("a - b", {"a": 1, "b": 1}, "a - b"),
        ("a - b + b", {"a": 1, "b": 9}, 1), ("a//b", {"a": 1, "b": 0}, "a//b"), ("2*3", {"a": 1}, "2*3"),
        ("f(a)", {"a": 1}, "f(a)"), ("", {"a": 1}, ""), ("a b", {"a": 1}, "a b"),
    ],
)  # fmt: skip
def test_a_sum_of_known_sizes_is_known(size: int | str, known: dict[str, int], is_: int | str) -> None:
    assert fixed_size(size, known) == is_


def test_a_sum_has_parts_and_a_name_has_none() -> None:
    assert (parts_of("past + length"), parts_of("past"), parts_of("a b")) == (("past", "length"), (), ())
