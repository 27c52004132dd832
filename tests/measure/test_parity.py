from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mlopt.core.errors import MeasureError
from mlopt.measure import chunks
from mlopt.measure.parity import compare, cosines, fidelity
from mlopt.measure.tolerance import within_tolerance

floats = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=5),
    elements=st.floats(width=32),
)


def one(value: Any) -> dict[str, np.ndarray]:
    return {"y": np.asarray(value)}


@given(floats)
@settings(deadline=None)
def test_a_model_equals_itself(array: np.ndarray):
    found = compare(one(array), one(array.copy()))
    assert (found.max_abs, found.sqnr_db, found.cosine) == (0.0, None, 1.0)
    assert within_tolerance(one(array), one(array.copy())) is None


def test_known_figures():
    expected, got = np.array([[3.0, 4.0], [1.0, 0.0]], np.float32), np.array([[3.0, 4.0], [0.0, 1.0]], np.float32)
    found = fidelity(one(expected), one(got))
    assert found.cosine == pytest.approx(0.5)  # samples of cosine 1 and 0
    assert found.sqnr_db == pytest.approx(10 * np.log10(26 / 2))
    assert (found.max_abs, found.n) == (1.0, 2)
    assert cosines(one(expected), one(got)).tolist() == pytest.approx([1.0, 0.0])


def test_the_worst_output_counts():
    expected = {"good": np.eye(3), "bad": np.eye(3)}
    got = {"bad": np.eye(3)[::-1] * 100, "good": np.eye(3) * 1.01}
    found = compare(expected, got)
    assert found.cosine == pytest.approx(1 / 3)
    assert found.max_abs == 100
    assert cosines(expected, got).tolist() == pytest.approx([0.0, 1.0, 0.0])


@pytest.mark.parametrize(
    ("expected", "got", "cosine"), [([[0.0]], [[0.0]], 1.0), ([[0.0]], [[1.0]], 0.0), ([[1.0]], [[0.0]], 0.0)]
)
def test_vectors_of_zeros_have_a_cosine(expected: list, got: list, cosine: float):
    assert compare(one(expected), one(got)).cosine == cosine


def test_a_reference_of_zeros_has_no_signal():
    assert compare(one([[0.0]]), one([[1.0]])).sqnr_db == -200.0


def test_a_constant_output_is_compared():
    found = compare(one(np.full((4, 3), 2.0)), one(np.full((4, 3), 2.2)))
    assert found.cosine == pytest.approx(1.0)
    assert found.sqnr_db == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        (np.array([[1, 2, 3, 4]]), np.array([[1, 2, 3, 900]])),
        (np.array([[True, True, False, True]]), np.array([[True, True, False, False]])),
        (np.array([["a", "b", "c", "d"]]), np.array([["a", "b", "c", "x"]])),
        (np.array([["a", "b", "c", "d"]], dtype=object), np.array([["a", "b", "c", "x"]], dtype=object)),
    ],
)
def test_what_is_not_floating_point_is_equal_or_not(expected: np.ndarray, got: np.ndarray):
    found = compare(one(expected), one(got))
    assert found.cosine == pytest.approx(np.sqrt(3 / 4))
    assert found.sqnr_db == pytest.approx(10 * np.log10(4))
    assert found.max_abs == 1.0
    reason = within_tolerance(one(expected), one(got))
    assert reason is not None
    assert reason.startswith("output 'y', sample 0, value 3: ")
    assert within_tolerance(one(expected), one(expected.copy())) is None


def test_nan_and_infinity_agree_where_both_have_them():
    expected, got = np.array([[np.nan, np.inf, 1.0]]), np.array([[np.nan, np.inf, 1.5]])
    assert compare(one(expected), one(got)).max_abs == 0.5


@pytest.mark.parametrize(("wrong", "shown"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
@pytest.mark.parametrize("judge", [compare, fidelity, within_tolerance])
def test_nan_in_one_model_alone_is_named(wrong: float, shown: str, judge: Any):
    got = np.ones((5, 2))
    got[3, 1] = wrong
    with pytest.raises(MeasureError, match="NaN or infinite") as error:
        judge(one(np.ones((5, 2))), one(got))
    problem = error.value.problems[0]
    assert (problem.where, problem.got, problem.expected) == ("output 'y', sample 3", shown, "1.0")


def test_pieces_add_up(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    expected, got = rng.normal(size=(17, 3, 2)), rng.normal(size=(17, 3, 2))
    whole = compare(one(expected), one(got))
    monkeypatch.setattr(chunks, "_CHUNK_VALUES", 12)
    pieces = compare(one(expected), one(got))
    assert pieces.cosine == pytest.approx(whole.cosine)
    assert pieces.sqnr_db == pytest.approx(whole.sqnr_db)
    assert pieces.max_abs == whole.max_abs
    got = expected.copy()
    got[15, 2, 1] += 1
    assert within_tolerance(one(expected), one(got)).startswith("output 'y', sample 15, value 5: ")


def test_memory_maps_and_outputs_of_one_number_are_compared(tmp_path: Any):
    np.save(tmp_path / "a.npy", np.arange(12, dtype=np.float32).reshape(4, 3))
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert compare(one(mapped), one(np.array(mapped))).cosine == 1.0
    assert compare(one(np.float32(2.0)), one(np.float32(2.0))).cosine == 1.0


def test_half_precision_does_not_overflow_on_the_way():
    big = np.full((1, 1000), 60000, np.float16)
    assert compare(one(big), one(big - np.float16(32))).max_abs == 32.0


@pytest.mark.parametrize(
    ("expected", "got", "message"),
    [
        ({"y": np.ones(2)}, {"z": np.ones(2)}, "different outputs"),
        ({}, {}, "different outputs"),
        ({"y": np.ones((2, 3))}, {"y": np.ones((2, 4))}, "shapes differ"),
        ({"y": np.ones((0, 3))}, {"y": np.ones((0, 3))}, "no samples"),
    ],
)
def test_what_cannot_be_compared_is_an_error(expected: dict, got: dict, message: str):
    for judge in (compare, fidelity, within_tolerance):
        with pytest.raises(MeasureError, match=message):
            judge(expected, got)


# Tolerance


def test_rounding_is_tolerated_and_says_nothing():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(8, 64)).astype(np.float32), rng.normal(size=(64, 10)).astype(np.float32)
    expected, got = a @ b, (a.astype(np.float64) @ b.astype(np.float64)).astype(np.float32)
    assert not np.array_equal(expected, got)
    assert within_tolerance(one(expected), one(got)) is None


@given(st.floats(1e-20, 1e20), st.integers(0, 11))
def test_tolerance_follows_the_scale_of_the_output(scale: float, place: int):
    expected = scale * np.linspace(-1, 1, 12).reshape(3, 4)
    for change, tolerated in ((0.9e-4, True), (3e-3, False)):
        got = expected.copy()
        got.flat[place] += change * scale
        assert (within_tolerance(one(expected), one(got)) is None) is tolerated


def test_the_first_difference_is_said_in_words():
    expected = np.zeros((2, 3))
    expected[0, 0] = 10.0
    got = expected.copy()
    got[1, 2] = 0.25
    assert within_tolerance(one(expected), one(got)) == (
        "output 'y', sample 1, value 2: 0.25 where 0 was expected, give or take 0.001"
    )


def test_half_precision_has_room_for_its_own_rounding():
    expected, got = np.full((1, 4), 1.0, np.float16), np.full((1, 4), 1.004, np.float16)
    assert within_tolerance(one(expected), one(got)) is None
    assert within_tolerance(one(expected.astype(np.float32)), one(got.astype(np.float32))) is not None


def boxes_and_scores(samples: int = 4) -> np.ndarray:
    """A detector's output [samples, 4 coordinates + 3 scores, 100 places], as YOLO writes it."""
    rng = np.random.default_rng(0)
    boxes, scores = rng.uniform(0, 320, (samples, 4, 100)), rng.uniform(0, 0.9, (samples, 3, 100)) ** 4
    return np.concatenate([boxes, scores], axis=1).astype(np.float32)


@pytest.mark.parametrize("axes", [(0, 1, 2), (0, 2, 1)])
def test_boxes_do_not_hide_the_scores(axes: tuple[int, int, int]):
    expected = boxes_and_scores()
    got = expected.copy()
    got[:2, 4:] = got[:2, 4:, ::-1]  # every score at another place, in half of the samples
    score, other = (part[:, 4:].reshape(4, -1).astype(np.float64) for part in (expected, got))
    of_scores = (score * other).sum(1) / np.linalg.norm(score, axis=1) / np.linalg.norm(other, axis=1)
    found = fidelity(one(expected.transpose(axes)), one(got.transpose(axes)))
    assert found.cosine == pytest.approx(of_scores.mean())
    assert found.cosine < 0.9
    assert found.sqnr_db == pytest.approx(10 * np.log10((score**2).sum() / ((score - other) ** 2).sum()))
    boxes = np.s_[:, :4]
    assert fidelity(one(expected[boxes]), one(got[boxes])).cosine == 1.0


def test_where_a_detector_sees_nothing_only_boxes_are_judged():
    expected = boxes_and_scores()
    expected[:, 4:] *= 0.01
    got = expected.copy()
    got[:, 4:] = got[:, 4:, ::-1]
    assert fidelity(one(expected), one(got)).cosine == pytest.approx(1.0)


@given(st.integers(0, 2**32 - 1), st.floats(1, 60))
@settings(deadline=None)
def test_probabilities_are_one_whole(seed: int, power: float):
    rng = np.random.default_rng(seed)
    expected, got = (rng.uniform(0, 1, (2, 5, 80)) ** power for _ in range(2))
    assert fidelity(one(expected), one(got)).cosine == pytest.approx(
        fidelity(one(expected.reshape(2, -1)), one(got.reshape(2, -1))).cosine
    )


def test_of_a_few_values_none_is_a_kind_of_its_own():
    expected, got = np.array([[300.0, 200.0, 0.5, 0.4]]), np.array([[300.0, 200.0, 0.4, -0.5]])
    assert fidelity(one(expected), one(got)).cosine == pytest.approx(1.0, abs=1e-5)


def test_where_a_model_has_nothing_to_say_no_direction_is_asked_for():
    """A detector's map: a thing in half of the pictures, and 1e-7 everywhere in the others."""
    rng = np.random.default_rng(0)
    expected = np.concatenate([rng.random((4, 100)), 1e-7 * rng.random((4, 100))])
    noisy = expected + 3e-4 * rng.standard_normal(expected.shape)
    assert cosines(one(expected), one(noisy)).min() > 0.99
    loud = expected + 0.1 * rng.standard_normal(expected.shape)  # things where there are none
    assert cosines(one(expected), one(loud))[4:].max() < 0.5


@given(st.floats(0.1, 10), st.floats(0.1, 10))
def test_a_sample_that_is_no_hundredth_of_the_others_is_judged_as_it_is(first: float, second: float):
    expected = np.array([[first, 0.0], [second, 0.0]])
    assert cosines(one(expected), one([[0.0, first], [second, 0.0]])).tolist() == [0.0, 1.0]


def test_one_loud_sample_does_not_make_the_others_blank():
    rng = np.random.default_rng(0)
    expected = rng.standard_normal((100, 20))
    expected[0] *= 3000
    wrong = expected.copy()
    wrong[1:] *= -1
    assert cosines(one(expected), one(wrong)).mean() < -0.9
