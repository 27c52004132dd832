"""A feed is what the model's inputs say, or it is refused in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlopt.core.errors import ModelError
from mlopt.formats.model import TensorSpec
from mlopt.runtimes.feeds import check_feeds

INPUTS = (
    TensorSpec("a", "float32", ("n", 3)), TensorSpec("b", "float32", ("n", 3)), TensorSpec("i", "int64", ("m",)),
    TensorSpec("s", "bool", ()),
)  # fmt: skip
GOOD = {
    "a": np.ones((2, 3), np.float32), "b": np.ones((2, 3), np.float32), "i": np.array([2**31 - 1, -(2**31)]),
    "s": np.array(True),
}  # fmt: skip


@pytest.mark.parametrize("i", [GOOD["i"], np.zeros(0, np.int64)])
def test_what_fits_is_taken_in_any_order(i: np.ndarray[Any, Any]) -> None:
    check_feeds(dict(reversed({**GOOD, "i": i}.items())), INPUTS, "m.onnx", bits=32)


@pytest.mark.parametrize(
    ("feeds", "fault"),
    [
        ({"a": np.ones((2, 3))}, "'a' is fed with another type"),
        ({"a": np.ones(3, np.float32)}, "'a' is fed with another number of axes"),
        ({"s": np.array([True])}, "'s' is fed with another number of axes"),
        ({"a": np.ones((2, 4), np.float32)}, "'a' is fed with sizes that do not go together"),
        ({"b": np.ones((1, 3), np.float32)}, "'b' is fed with sizes that do not go together"),
        ({"b": None}, "the feed lacks input 'b'"),
        ({"z": np.ones(2, np.float32)}, "no input 'z'"),
        ({"i": np.array([2**31])}, "integers beyond 32 bits"),
        ({"i": np.array([-(2**31) - 1])}, "integers beyond 32 bits"),
    ],
)
def test_what_does_not_fit_is_one_line(feeds: dict[str, Any], fault: str) -> None:
    fed = {name: array for name, array in {**GOOD, **feeds}.items() if array is not None}
    with pytest.raises(ModelError, match=fault) as caught:
        check_feeds(fed, INPUTS, "m.onnx", bits=32)
    (problem,) = caught.value.problems
    assert "\n" not in problem.what
    assert str(problem.expected).startswith("a: float32[n, 3]; b: ")


def test_integers_are_left_alone_where_the_library_takes_them_whole() -> None:
    check_feeds({**GOOD, "i": np.array([2**62])}, INPUTS, "m.onnx")


def test_unsigned_ones_may_not_turn_negative() -> None:
    with pytest.raises(ModelError, match="beyond 32 bits"):
        check_feeds({"u": np.array([2**31], np.uint32)}, (TensorSpec("u", "uint32", ("n",)),), "m.onnx", bits=32)
