"""Labels that a model can never be right about, or that only look as if it could be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlopt.core.errors import DataError, Problem
from mlopt.measure.accuracy import score

THREE = {"y": np.eye(3)[[0, 1, 2, 1]]}
TWO = {"y": np.eye(2)[[0, 1, 0, 1]]}
TOKENS = {"y": np.eye(4)[[[0, 1, 2], [3, 2, 1]]]}


def refused(outputs: dict[str, Any], labels: Any) -> Problem:
    with pytest.raises(DataError) as caught:
        score("accuracy", outputs, np.asarray(labels))
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    ("outputs", "labels"),
    [
        (THREE, [0, 1, 2, 1]), (THREE, [0.0, 1.0, 2.0, 1.0]), (THREE, [[0], [1], [2], [1]]),
        (TWO, [False, True, False, True]), ({"y": np.array([0, 1, 0, 1])}, [False, True, False, True]),
        ({"y": np.array([-1, 1])}, [-1, 1]), (TOKENS, [[0, 1, 2], [3, 2, 1]]),
    ],
)  # fmt: skip
def test_what_says_the_class_is_taken(outputs: dict[str, Any], labels: Any) -> None:
    assert score("accuracy", outputs, np.asarray(labels)).value == 1


@pytest.mark.parametrize(
    ("outputs", "labels", "what", "got", "fix"),
    [
        (THREE, [0, 1, 3, 1], "a label is no class", "labels from 0 to 3", "as the model does"),
        (THREE, [1, 2, 3, 2], "a label is no class", "labels from 1 to 3", "labels - 1"),
        (TWO, [-1, 1, -1, 1], "a label is no class", "labels from -1 to 1", "numpy.where(labels < 0, 0, labels)"),
        (TOKENS, [[0, -100, 2], [3, 2, -100]], "a label is no class", "labels from -100 to 3", "-100 may mark places"),
        (THREE, [0, 0.5, 2, 1], "the labels are measures", "0.5 for sample 1", "fidelity"),
        (THREE, [False, True, True, True], "the labels are true and false", "3 classes", "astype(numpy.int64)"),
        ({"y": np.array([0, 5])}, [False, True], "the labels are true and false", "class 5", "astype(numpy.int64)"),
        (THREE, np.eye(3)[[0, 1, 2, 1]], "the labels do not fit the output", "labels float64[4, 3]", "argmax(axis=-1)"),
        (THREE, np.full((4, 3), 1 / 3), "the labels do not fit the output", "labels float64[4, 3]", "argmax(axis=-1)"),
        (THREE, list("abca"), "the labels do not fit the output", "labels <U1[4]", "in the order of the model's"),
        (THREE, np.zeros((4, 5, 5), int), "the labels do not fit", "labels int64[4, 5, 5]", "one class number"),
    ],
)  # fmt: skip
def test_what_does_not_is_refused_with_what_to_do(
    outputs: dict[str, Any], labels: Any, what: str, got: str, fix: str
) -> None:
    problem = refused(outputs, labels)
    assert problem.what.startswith(what)
    assert problem.got == got
    assert fix in str(problem.fix)
