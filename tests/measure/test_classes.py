from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlopt.core.errors import DataError
from mlopt.measure.accuracy import score
from mlopt.measure.classes import class_axis, predicted_classes


def scores(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def softmax(array: np.ndarray, axis: int) -> np.ndarray:
    powers = np.exp(array)
    return powers / powers.sum(axis=axis, keepdims=True)


@pytest.mark.parametrize(
    ("array", "axis"),
    [
        (scores(5, 10), 1), (scores(5, 10, 1, 1), 1), (scores(5, 1, 10), 2), (scores(5, 10, 1), 1),
        (scores(5), None), (scores(5, 1), None), (scores(5, 1, 8, 9), None), (scores(5, 8, 9, 1), None),
        (scores(5, 40, 97), 2), (softmax(scores(5, 97, 40), 1), 1), (softmax(scores(5, 40, 97), 2), 2),
        (np.log(softmax(scores(5, 97, 40), 1)), 1),
        (scores(5, 21, 32, 32), 1), (scores(5, 32, 32, 21), 3), (scores(5, 1000, 7, 7), 1), (scores(5, 7, 7, 1000), 3),
        (scores(5, 21, 48, 64), 1), (scores(5, 48, 64, 21), 3), (scores(5, 2, 3, 2), 1),
        (softmax(scores(5, 9, 9, 9), 3), 3), (scores(5, 4, 8, 8, 8), 1), (scores(5, 8, 8, 8, 4), 4),
    ],
)  # fmt: skip
def test_the_axis_of_the_classes(array: np.ndarray, axis: int | None) -> None:
    assert class_axis(array) == axis


def test_each_position_has_its_class() -> None:
    maps = scores(4, 6, 8, 8)
    wanted = maps.argmax(axis=1)
    assert (predicted_classes({"y": maps}, None) == wanted).all()
    assert (predicted_classes({"y": np.moveaxis(maps, 1, -1)}, None) == wanted).all()
    other = maps.copy()
    other[2, :, :4] *= -1
    found = score("agreement", {"y": other}, reference={"y": maps}).per_sample
    assert found[[0, 1, 3]].tolist() == [1, 1, 1]
    assert found[2] < 0.6


def test_one_score_is_a_decision() -> None:
    logits = np.array([[-2.0], [-0.1], [0.1], [2.0]])
    assert predicted_classes({"y": logits}, None).tolist() == [0, 0, 1, 1]
    probabilities = 1 / (1 + np.exp(-logits))
    assert predicted_classes({"y": probabilities}, None).tolist() == [0, 0, 1, 1]
    assert score("accuracy", {"y": probabilities}, np.array([0, 1, 1, 1])).value == 0.75
    # what is a probability is for the source model to say: INT8 may go beyond 1
    got = predicted_classes({"y": np.array([[0.4], [1.01]])}, None, {"y": np.array([[0.2], [0.9]])})
    assert got.tolist() == [0, 1]


@pytest.mark.parametrize("kind", [np.str_, np.int64])
def test_labels_are_classes(kind: Any) -> None:
    labels = np.array(["1", "2", "1", "7"]).astype(kind)
    other = labels.copy()
    other[1] = labels[0]
    assert score("agreement", {"label": other}, reference={"label": labels}).value == 0.75
    assert score("accuracy", {"label": other}, labels).value == 0.75
    wrong = np.array([1, 2, 1, 7]) if kind is not np.int64 else np.array(list("abab"))
    told = "the labels do not fit the output" if kind is np.int64 else "the model names its classes"
    with pytest.raises(DataError, match=told):
        score("accuracy", {"label": labels}, wrong)


def texts(*rows: str) -> np.ndarray:
    """Return scores [texts, steps, 27] of letters, - being the blank."""
    return np.stack([np.eye(27)[[(ord(letter) - 96) % 27 if letter != "-" else 0 for letter in row]] for row in rows])


def test_of_a_text_each_letter_counts() -> None:
    expected = texts("-c-aa-t-----", "-d-oo-g-----", "-hh-e-ll-l--", "------------")
    moved = texts("-cc-a-t-----", "-d-oo-g-----", "-hh-e-ll-l--", "------------")
    found = score("sequence_agreement", {"y": moved}, reference={"y": expected}).per_sample
    assert found.tolist() == pytest.approx([10 / 12, 1, 1, 1])  # it reads the same
    for other in ("-c-uu-t-----", "-c-aa-------", "-c-aa-t-s---"):
        changed = texts(other, "-d-oo-g-----", "-hh-e-ll-l--", "------------")
        assert score("sequence_agreement", {"y": changed}, reference={"y": expected}).per_sample[0] == 0
        assert score("agreement", {"y": changed}, reference={"y": expected}).per_sample[0] > 0.8
    doubled = texts("-c-aa-t-----", "-d-oo-g-----", "-hh-e-lll---", "------------")
    assert score("sequence_agreement", {"y": doubled}, reference={"y": expected}).per_sample[2] == 0


def test_a_seventh_of_changed_texts_is_beyond_what_default_gates_allow() -> None:
    """Of a recognizer with a cosine of 0.99: one letter changed in 14 of 100 texts of 40 steps."""
    rng = np.random.default_rng(0)
    letters = rng.integers(1, 27, (100, 20))
    expected = np.zeros((100, 40), int)
    expected[:, ::2] = letters
    changed = expected.copy()
    changed[:14, 6] = expected[:14, 6] % 26 + 1
    one, other = ({"y": np.eye(27)[rows]} for rows in (expected, changed))
    assert score("agreement", other, reference=one).value > 0.99
    assert score("sequence_agreement", other, reference=one).value == pytest.approx(0.86)


def test_of_several_heads_the_one_that_agrees_least_counts() -> None:
    one = {"a": scores(8, 4), "b": scores(8, 5), "c": scores(8, 5)}
    other = {**one, "b": np.roll(one["b"], 1, axis=1), "c": -one["c"]}
    assert score("agreement", other, reference=one, output=("a", "b")).value == 0
    assert score("agreement", other, reference=one).value == 1
