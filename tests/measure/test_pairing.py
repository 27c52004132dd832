"""Outputs of different sizes: detections find each other in any order, and what is lost counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mlopt.core.errors import MeasureError
from mlopt.data.ragged import joined, ragged
from mlopt.measure.lossless import change
from mlopt.measure.pairing import paired
from mlopt.measure.parity import compare, cosines, fidelity

Array = np.ndarray[Any, Any]


def detections(counts: list[int], seed: int = 0) -> dict[str, Array]:
    """Boxes far apart, the surest first, of three classes."""
    random = np.random.default_rng(seed)
    found: dict[str, list[Array]] = {"boxes": [], "scores": [], "labels": []}
    for count in counts:
        low = 50 * np.arange(count)[:, None] + random.random((count, 2)) * 10
        found["boxes"].append(np.concatenate([low, low + 20 + random.random((count, 2))], axis=1).astype(np.float32))
        found["scores"].append(-np.sort(-random.random(count).astype(np.float32)))
        found["labels"].append(random.integers(0, 3, count))
    return {name: ragged(parts) for name, parts in found.items()}


def altered(outputs: dict[str, Array], sample: int, rows: list[int]) -> dict[str, Array]:
    """Keep these rows of one sample, in this order."""
    new = {name: array.copy() for name, array in outputs.items()}
    for array in new.values():
        array[sample] = array[sample][rows]
    return new


def test_the_order_of_detections_plays_no_part() -> None:
    outputs = detections([3, 0, 5, 1])
    other = altered(outputs, 2, [4, 2, 0, 1, 3])
    found = fidelity(outputs, other)
    assert (found.cosine, found.sqnr_db, found.max_abs, found.matched, found.n) == (1.0, None, 0.0, 1.0, 4)
    assert change(outputs, other) is None


@pytest.mark.parametrize("lost", range(5))
def test_a_lost_detection_counts_and_shifts_nothing(lost: int) -> None:
    outputs = detections([3, 0, 5, 1])
    other = altered(outputs, 2, [row for row in range(5) if row != lost])
    for a, b in ((outputs, other), (other, outputs)):
        found = fidelity(a, b)
        assert found.matched == pytest.approx(2 * 8 / (9 + 8))
        assert 0.5 < found.cosine < 1
        assert found.sqnr_db is not None
        each = cosines(a, b)
        assert each[2] < 1
        assert each[[0, 1, 3]].tolist() == [1, 1, 1]


def test_a_detection_of_another_class_is_another() -> None:
    outputs = detections([4, 4])
    other = altered(outputs, 0, [0, 1, 2, 3])
    other["labels"][0] = (other["labels"][0] + [0, 1, 0, 0]) % 3
    assert fidelity(outputs, other).matched == pytest.approx(7 / 8)


def test_one_output_may_hold_boxes_scores_and_classes() -> None:
    parts = detections([3, 2, 4])
    rows = [np.concatenate([b, s[:, None], c[:, None]], axis=1) for b, s, c in zip(*parts.values(), strict=True)]
    yolo = {"detections": ragged(rows)}
    assert fidelity(yolo, altered(yolo, 2, [3, 1, 2, 0])).cosine == 1
    assert fidelity(yolo, altered(yolo, 2, [3, 1, 2])).matched == pytest.approx(16 / 17)
    with_batch = {"detections": ragged([np.concatenate([np.zeros((len(row), 1)), row], axis=1) for row in rows])}
    assert fidelity(with_batch, altered(with_batch, 0, [2, 1, 0])).matched == 1


def test_boxes_by_their_centres() -> None:
    outputs = detections([3, 2, 4])
    for number, box in enumerate(outputs["boxes"]):
        outputs["boxes"][number] = np.concatenate([(box[:, :2] + box[:, 2:]) / 2, box[:, 2:] - box[:, :2]], axis=1)
    assert fidelity(outputs, altered(outputs, 2, [3, 1, 2, 0])).matched == 1


def test_a_fixed_number_of_detections_may_change_places() -> None:
    outputs = {name: joined(list(array)) for name, array in detections([5] * 3).items()}
    other = {name: array[:, [1, 0, 2, 4, 3]] for name, array in outputs.items()}
    assert fidelity(outputs, other).matched == 1
    assert compare(outputs, other).cosine == 1


def test_a_model_that_always_finds_one_thing_is_comparable_with_one_that_does_not() -> None:
    """The first is taken for one with a batch axis: [samples, 4]."""
    ones = {"boxes": np.array([[1.0, 2, 3, 4], [2, 3, 4, 5]]), "scores": np.array([0.5, 0.6])}
    two = {"boxes": ragged([ones["boxes"][[0]], np.array([[2.0, 3, 4, 5], [9, 9, 12, 12]])]),
           "scores": ragged([ones["scores"][[0]], np.array([0.6, 0.3])])}  # fmt: skip
    for a, b in ((ones, two), (two, ones)):
        assert fidelity(a, b).matched == pytest.approx(4 / 5)
        assert cosines(a, b)[0] == 1


def test_the_rows_of_a_suppression_are_matched_by_equality() -> None:
    rows = {"selected": ragged([np.array([[0, 0, 5], [0, 1, 2], [0, 1, 7]]), np.array([[0, 0, 1]])])}
    assert compare(rows, altered(rows, 0, [2, 0, 1])).cosine == 1
    assert fidelity(rows, altered(rows, 0, [2, 1])).matched == pytest.approx(6 / 7)


def test_probabilities_of_four_classes_are_no_boxes() -> None:
    random = np.random.default_rng(0)
    text = {"tags": ragged([random.dirichlet(np.ones(4), size).astype(np.float32) for size in (3, 5, 2)])}
    found = fidelity(text, altered(text, 1, [1, 0, 2, 3, 4]))
    assert (found.matched, found.cosine < 1) == (None, True)


def test_text_of_another_length_is_wrong_as_a_whole() -> None:
    text = {"ids": ragged([np.array([3, 1, 2]), np.array([4, 4]), np.array([], np.int64)])}
    assert cosines(text, altered(text, 0, [0, 1])).tolist() == [0, 1, 1]
    longer = {"ids": ragged([*text["ids"][:2], np.array([7])])}
    assert cosines(text, longer)[:2].tolist() == [1, 1]
    assert cosines(text, longer)[2] == 0
    assert paired(text, longer).how == (
        "'ids': compared by position; a sample on which the two models' sizes differ counts as wrong",
    )


def test_a_fixed_shape_that_changed_is_no_matter_of_samples() -> None:
    with pytest.raises(MeasureError, match="shapes differ"):
        compare({"y": np.ones((3, 5))}, {"y": np.ones((3, 6))})


MADE = {
    "float32": lambda random, shape: random.integers(-9, 9, shape).astype(np.float32) / 4,
    "float16": lambda random, shape: random.integers(-9, 9, shape).astype(np.float16),
    "int64": lambda random, shape: random.integers(0, 4, shape),
    "bool": lambda random, shape: random.integers(0, 2, shape).astype(bool),
    "text": lambda random, shape: random.integers(0, 3, shape).astype("U3"),
}


@st.composite
def any_outputs(draw: Any) -> dict[str, Array]:
    """Outputs of any kind and rank, some of one shape, some ragged."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(1, 4))
    outputs = {}
    for kind in draw(st.lists(st.sampled_from(sorted(MADE)), min_size=1, max_size=3, unique=True)):
        rank, fixed = draw(st.integers(0, 3)), draw(st.booleans())
        shapes = [tuple(random.integers(0, 5, rank).tolist())] * count
        if not fixed:
            shapes = [tuple(random.integers(0, 5, rank).tolist()) for _ in range(count)]
        outputs[kind] = joined([np.asarray(MADE[kind](random, shape)) for shape in shapes])
    return outputs


@settings(deadline=None, max_examples=60)
@given(any_outputs())
def test_equal_outputs_are_equal_exactly(outputs: dict[str, Array]) -> None:
    copy = {name: ragged([part.copy() for part in array]) if array.dtype == object else array.copy()
            for name, array in outputs.items()}  # fmt: skip
    found = compare(outputs, copy)
    assert (found.cosine, found.sqnr_db, found.max_abs) == (1.0, None, 0.0)
    assert change(outputs, copy) is None


@settings(deadline=None, max_examples=60)
@given(any_outputs(), st.data())
def test_one_changed_sample_is_found(outputs: dict[str, Array], data: Any) -> None:
    name = data.draw(st.sampled_from(sorted(outputs)))
    sample = data.draw(st.integers(0, len(outputs[name]) - 1))
    part = np.asarray(outputs[name][sample])
    assume(part.size)
    new = part.copy()
    place = data.draw(st.integers(0, part.size - 1))
    new.flat[place] = {"f": 20, "i": 7 if part.flat[place] != 7 else 8, "b": not part.flat[place],
                       "U": "z" if part.flat[place] != "z" else "y"}[part.dtype.kind]  # fmt: skip
    array = outputs[name].copy()
    array[sample] = new
    found = change(outputs, {**outputs, name: array})
    assert found is not None
    assert (found.sample, found.output, found.samples) == (sample, name, 1)
    error = compare(outputs, {**outputs, name: array})
    assert error.sqnr_db is not None
    assert error.max_abs > 0
