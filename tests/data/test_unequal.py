"""Values that are no array: samples of several sizes, and what else NumPy keeps as objects or refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlopt.core.errors import DataError, Problem
from mlopt.data.dataset import Samples, store
from mlopt.data.ragged import ragged
from mlopt.data.unequal import PAD, as_array


def refused(value: Any) -> Problem:
    with pytest.raises(DataError) as caught:
        as_array(value, "here")
    (problem,) = caught.value.problems
    return problem


SIZES: dict[str, list[Any]] = {
    "token lists": [[1, 2, 3], [4], []],
    "signals": [np.ones(3, np.float32), np.ones(2, np.float32)],
    "pictures": [np.ones((3, 4, 5)), np.ones((3, 6, 2)), np.ones((3, 6, 2))],
    "one axis that is equal": [np.ones((2, 4)), np.ones((3, 4))],
}


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("objects", [False, True])
def test_samples_of_several_sizes_are_told_and_padded_as_the_fix_says(kind: str, objects: bool) -> None:
    samples = SIZES[kind]
    problem = refused(ragged([np.asarray(one) for one in samples]) if objects else samples)
    assert problem.what == "the samples differ in size"
    assert str(problem.fix).startswith(PAD)
    names: dict[str, Any] = {"numpy": np, "x": samples}
    exec(PAD, names)
    padded = as_array(names["x"], "here")
    assert padded.shape == (len(samples), *np.max([np.shape(one) for one in samples], axis=0))
    assert padded.sum() == sum(np.sum(one) for one in samples)


@pytest.mark.parametrize("value", [[None, 1], [{}, []], np.array([1, "a"], object), {"a"}, np.array([], object)])
def test_what_is_no_number_and_no_text_is_refused(value: Any) -> None:
    problem = refused([value] if isinstance(value, set) else value)
    assert problem.what == "these are no numbers and no text"
    assert "numpy.array(x, dtype=numpy.float32)" in str(problem.fix)


def test_ranks_that_differ_cannot_be_padded() -> None:
    assert "as many axes" in str(refused([np.ones(3), np.ones((3, 1))]).fix)


def test_a_tensor_that_is_no_array_is_told() -> None:
    class OnAnotherDevice:
        def __array__(self, *_: Any, **__: Any) -> Any:
            raise TypeError("can't convert cuda:0 device type tensor to numpy")

    problem = refused(OnAnotherDevice())
    assert "cuda:0" in str(problem.got)
    assert "x.detach().cpu().numpy()" in str(problem.fix)


def test_text_in_objects_is_text() -> None:
    assert as_array(np.array(["a", "bc"], object), "here").dtype == np.dtype("<U2")


def test_storing_says_the_same(tmp_path: Any) -> None:
    with pytest.raises(DataError, match="the samples differ in size"):
        store(Samples({"x": ragged([np.ones(2), np.ones(3)])}), tmp_path, "data")
