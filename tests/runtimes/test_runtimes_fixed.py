"""Feeds held against what a model is fixed to, whatever runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlopt.core.errors import ModelError
from mlopt.formats.model import ONNX, Model, TensorSpec
from mlopt.runtimes.base import Array, Feeds
from mlopt.runtimes.fixed import check_of, held


class Echo:
    """A session that would take anything."""

    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()

    def run(self, feeds: Feeds) -> dict[str, Array]:
        return dict(feeds)


def model(*inputs: TensorSpec, sizes: tuple[tuple[str, int], ...] = ()) -> Model:
    return Model(ONNX, Path("m.onnx"), "0" * 64, inputs, (), (), sizes=sizes)


ANY = TensorSpec("x", "float32", ("n", 2))
ONE = TensorSpec("k", "float32", (2,), (0.0, 1.5))


def test_a_model_that_is_fixed_to_nothing_is_run_as_it_is() -> None:
    session = Echo()
    assert held(session, model(ANY)) is session
    assert check_of(model(ANY)) is None


def test_the_right_feed_is_passed_on() -> None:
    feeds = {"x": np.zeros((7, 2), np.float32), "k": np.float32([0, 1.5])}
    assert held(Echo(), model(ANY, ONE)).run(feeds) == feeds


@pytest.mark.parametrize(
    "value",
    [np.float32([0, 1.5])[::-1][::-1], np.float32([-0.0, 1.5]), np.asfortranarray(np.float32([0, 1.5]))],
)
def test_equal_values_are_equal_however_they_lie_in_memory(value: Array) -> None:
    held(Echo(), model(ANY, ONE)).run({"k": value})


@pytest.mark.parametrize(
    "value",
    [np.float32([0, 1]), np.float32([0, np.nan]), np.float64([0, 1.5]), np.float32([0, 1.5]).astype(">f4"),
     np.float32([[0, 1.5]]), np.float32([])],
)  # fmt: skip
def test_other_values_are_refused(value: Array) -> None:
    with pytest.raises(ModelError, match="input 'k' is fed with what the model is not made for"):
        held(Echo(), model(ANY, ONE)).run({"k": value})


@pytest.mark.parametrize("shape", [(1, 3), (2, 2), (1, 2, 1), (), (2,)])
def test_other_sizes_are_refused_if_sizes_are_fixed(shape: tuple[int, ...]) -> None:
    fixed = model(TensorSpec("x", "float32", (1, "m", 2)), TensorSpec("z", "float32", (1, 2)), sizes=(("n", 1),))
    feeds: dict[str, Any] = {"x": np.zeros((1, 9, 2)), "z": np.zeros((1, 2))}
    held(Echo(), fixed).run(feeds)
    with pytest.raises(ModelError, match=r"input 'z'(.|\n)*n: 1"):
        held(Echo(), fixed).run(feeds | {"z": np.zeros(shape)})
    with pytest.raises(ModelError, match="input 'x'"):
        held(Echo(), fixed).run(feeds | {"x": np.zeros((2, 9, 2))})


def test_what_is_missing_is_for_the_runtime_to_tell() -> None:
    assert held(Echo(), model(ANY, ONE)).run({}) == {}
