"""What a model is traced with: real samples, or made-up ones, of sizes that no exporter takes for constants."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pass_runs import dataset

from mlopt.formats.model import TensorSpec
from mlopt.passes.exporting.examples import example_inputs

X = (TensorSpec("x", "float32", ("batch", "n")),)


def sizes(arrays: Sequence[np.ndarray[Any, Any]]) -> list[tuple[int, ...]]:
    return [array.shape for array in arrays]


def test_no_free_size_is_trivial_or_equals_another() -> None:
    specs = (TensorSpec("a", "float32", ("batch", "n", 3)), TensorSpec("b", "int64", ("batch", "m")),
             TensorSpec("c", "bool", ()))  # fmt: skip
    a, b, c = example_inputs(specs, None)
    assert sizes([a, b, c]) == [(2, 3, 3), (2, 4), ()]
    assert [array.dtype.name for array in (a, b, c)] == ["float32", "int64", "bool"]


def test_another_seed_gives_other_values_of_the_same_sizes() -> None:
    specs = (*X, TensorSpec("mask", "int64", ("batch", "n")))
    first, again, other = (example_inputs(specs, None, seed) for seed in (0, 0, 1))
    assert sizes(first) == sizes(other)
    np.testing.assert_array_equal(first[0], again[0])
    assert (first[0] != other[0]).all()
    assert (first[0].min() >= 0, other[0].min() < 0) == (True, True)  # negative ones show which branch was taken
    assert (first[1] != other[1]).any()


def test_real_samples_are_traced_with_in_a_batch_that_equals_no_other_size(tmp_path: Path) -> None:
    samples = dataset({"x": np.arange(24, dtype=np.float32).reshape(12, 2)}, tmp_path)
    (first,) = example_inputs(X, samples)
    assert first.shape == (3, 2)  # not 2, which the second axis is
    np.testing.assert_array_equal(first[:, 0], [0, 2, 4])
    (other,) = example_inputs(X, samples, 1)
    assert other.shape == (3, 2)
    assert not np.isin(other, first).any()


def test_samples_with_a_trivial_size_are_not_traced_with(tmp_path: Path) -> None:
    samples = dataset({"x": np.ones((4, 1), np.float32)}, tmp_path)
    assert sizes(example_inputs(X, samples)) == [(2, 3)]
    fixed = (TensorSpec("x", "float32", ("batch", 1)),)
    assert sizes(example_inputs(fixed, samples)) == [(2, 1)]
