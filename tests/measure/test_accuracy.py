from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopt.core.errors import DataError, MeasureError
from mlopt.data.ragged import ragged
from mlopt.measure.accuracy import Scores, drop, score, summary

LOGITS = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], np.float32)


def per_sample(*arguments: Any, **options: Any) -> list[float]:
    return score(*arguments, **options).per_sample.tolist()


def test_accuracy_is_the_share_of_hits():
    found = score("accuracy", {"logits": LOGITS}, np.array([1, 0, 0, 0]))
    assert found.per_sample.tolist() == [1, 1, 0, 1]
    assert (found.metric, found.count) == ("accuracy", 4)
    value = summary(found)
    assert (value.metric, value.value, value.n) == ("accuracy", 0.75, 4)
    assert value.ci95 == pytest.approx((0.3006, 0.9544), abs=1e-4)


@pytest.mark.parametrize(
    ("shape", "labels"), [((4, 2, 1, 1), (4,)), ((4, 1, 2), (4, 1)), ((4, 2), (4, 1)), ((4, 2), (4, 1, 1))]
)
def test_axes_of_one_do_not_matter(shape: tuple[int, ...], labels: tuple[int, ...]):
    wanted = np.array([1, 0, 0, 0]).reshape(labels)
    assert per_sample("accuracy", {"y": LOGITS.reshape(shape)}, wanted) == [1, 1, 0, 1]


def test_one_sample_stays_a_sample():
    assert per_sample("accuracy", {"y": LOGITS[:1]}, np.array([1])) == [1]


def test_one_sample_is_refused_where_its_score_is_no_hit_or_miss():
    tokens, one = {"y": np.stack([LOGITS])}, {"y": LOGITS[:1]}
    for asked in (
        lambda: score("fidelity", one, reference=one),
        lambda: score("agreement", tokens, reference=tokens),
        lambda: score(lambda *_: np.array([0.5]), one),
        lambda: score(lambda *_: 0.5, one),
    ):
        with pytest.raises(DataError, match="one sample gives a metric no interval") as caught:
            asked()
        assert caught.value.problems[0].fix == "give more evaluation samples"
    assert per_sample(lambda *_: np.array([1.0]), one) == [1.0]


def test_tokens_and_pixels_score_their_share():
    tokens = np.stack([LOGITS[:3], LOGITS[1:]])  # [2 samples, 3 tokens, 2 classes]
    assert per_sample("accuracy", {"y": tokens}, np.array([[1, 0, 1], [1, 1, 0]])) == pytest.approx([1, 2 / 3])
    pixels = np.moveaxis(tokens.reshape(2, 3, 1, 2).repeat(2, axis=2), -1, 1)  # [2, 2 classes, 3, 2]
    labels = np.array([[1, 0, 1], [1, 1, 0]])[..., None].repeat(2, axis=-1)
    assert per_sample("accuracy", {"y": pixels}, labels) == pytest.approx([1, 2 / 3])


def test_class_numbers_are_taken_as_they_are():
    assert per_sample("accuracy", {"y": np.array([[3], [5]])}, np.array([3, 4])) == [1, 0]


def test_an_output_can_be_named():
    outputs = {"aux": LOGITS[:, ::-1], "main": LOGITS}
    assert per_sample("accuracy", outputs, np.array([1, 0, 1, 0]), output="main") == [1, 1, 1, 1]
    assert per_sample("accuracy", outputs, np.array([1, 0, 1, 0])) == [0, 0, 0, 0]
    with pytest.raises(DataError, match="no output 'mian'"):
        score("accuracy", outputs, np.array([1, 0, 1, 0]), output="mian")


def test_agreement_compares_with_the_source_model():
    changed = LOGITS.copy()
    changed[2] = [0.9, 0.1]
    assert per_sample("agreement", {"y": changed}, reference={"y": LOGITS}) == [1, 1, 0, 1]


def test_fidelity_is_the_cosine_of_the_worst_output():
    reference = {"a": np.eye(2), "b": np.eye(2)}
    found = score("fidelity", {"a": np.eye(2), "b": np.ones((2, 2))}, reference=reference)
    assert found.per_sample.tolist() == pytest.approx([0.5**0.5] * 2)
    with pytest.raises(MeasureError, match="sample 1"):
        score("fidelity", {"a": np.eye(2), "b": np.array([[1, 0], [np.nan, 1]])}, reference=reference)


@pytest.mark.parametrize(
    ("metric", "outputs", "labels", "message"),
    [
        ("accuracy", LOGITS, None, "needs labels"),
        ("agreement", LOGITS, None, "needs the outputs of the source model"),
        ("fidelity", LOGITS, None, "needs the outputs of the source model"),
        ("acuracy", LOGITS, None, "did you mean 'accuracy'"),
        ("accuracy", LOGITS, np.array([1, 0, 2, 0]), "labels from 0 to 2"),
        ("accuracy", LOGITS, np.array([-1, 0, 1, 0]), "labels from -1 to 1"),
        ("accuracy", LOGITS, np.array([1, 0, 1]), r"int64\[3\]"),
        ("accuracy", LOGITS, np.eye(2)[[1, 0, 1, 0]], "the labels do not fit the output"),
        ("accuracy", LOGITS, np.array(["a", "b", "a", "b"]), "the labels do not fit the output"),
        ("accuracy", LOGITS[:, :1], np.array([1, 0, 2, 0]), "a label is no class"),
        ("accuracy", LOGITS.astype(complex), np.array([1, 0, 1, 0]), "complex numbers are no scores"),
        ("accuracy", np.array([[0, np.nan], [1, 2.0]]), np.array([1, 0]), r"output 'y', sample 0"),
    ],
)
def test_what_does_not_fit_is_said(metric: str, outputs: np.ndarray, labels: Any, message: str):
    with pytest.raises(DataError, match=message):
        score(metric, {"y": outputs}, labels)


# Metrics of one's own


def margin(outputs: Any, labels: Any, reference: Any) -> Any:
    return np.abs(outputs["y"][:, 0] - outputs["y"][:, 1])


def test_a_function_may_score_every_sample():
    found = score(margin, {"y": LOGITS})
    assert found.metric == "margin"
    assert found.per_sample.tolist() == pytest.approx([0.8, 0.6, 0.4, 0.2])
    low, high = summary(found).ci95
    assert low < 0.5 < high


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 60), st.integers(0, 2**32 - 1))
def test_a_single_number_gets_an_interval_by_the_jackknife(n: int, seed: int):
    """Of a mean, the pseudo-values' interval is what the samples themselves would give, up to grouping."""
    values = np.random.default_rng(seed).normal(size=(n, 1))
    found = score(lambda outputs, _labels, _reference: float(outputs["y"].mean()), {"y": values})
    assert found.count == n
    assert found.per_sample.mean() == pytest.approx(values.mean(), abs=1e-9)
    if n <= 20:
        assert found.per_sample == pytest.approx(values[:, 0], abs=1e-9)


def test_a_single_number_sees_labels_and_reference_of_the_same_samples():
    def metric(outputs: Any, labels: Any, reference: Any) -> float:
        assert len(outputs["y"]) == len(labels) == len(reference["y"])
        assert (outputs["y"][:, 0] == labels).all()
        return 1.0 - float(np.abs(outputs["y"] - reference["y"]).max())

    labels = np.arange(30.0)
    outputs = {"y": labels[:, None]}
    assert summary(score(metric, outputs, labels, {"y": labels[:, None] + 0.5})).value == 0.5


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (lambda *_: np.ones(3), r"\[3\]"),
        (lambda *_: np.array([1.0, np.nan, 1.0, 1.0]), "sample 1"),
        (lambda *_: float("nan"), "returned NaN"),
        (lambda outputs, *_: outputs["x"], "KeyError: 'x'"),
        (lambda *_: "good", "does not return numbers"),
        (lambda *_: None, "does not return numbers"),
    ],
)
def test_a_function_that_fails_is_the_users_to_fix(metric: Any, message: str):
    with pytest.raises(DataError, match=message):
        score(metric, {"y": LOGITS})


def test_the_place_of_a_failure_is_named():
    with pytest.raises(DataError, match=r"test_accuracy\.py:\d+"):
        score(lambda *_: 1 / 0, {"y": LOGITS})


# Drops


def test_a_drop_is_paired():
    labels = np.zeros(200, dtype=int)
    source, final = np.tile([[1.0, 0.0]], (200, 1)), np.tile([[1.0, 0.0]], (200, 1))
    final[:3] = [0.0, 1.0]
    scores = [score("accuracy", {"y": outputs}, labels) for outputs in (source, final)]
    found = drop(*scores, "source")
    assert (found.pt, found.n, found.disagreements, found.vs) == (pytest.approx(1.5), 200, 3, "source")


def test_a_drop_of_grouped_scores_counts_samples():
    one, other = Scores("f1", np.array([0.5, 0.75]), 1000), Scores("f1", np.array([0.5, 0.5]), 1000)
    assert drop(one, other, "source").n == 1000
    assert drop(one, other, "source").disagreements == 1000
    assert drop(one, one, "source").disagreements == 0


def test_a_narrow_segmentation_map_keeps_its_class_axis():
    """[samples, classes, 1, width]: the one row must not make the columns look like classes."""
    scores = np.zeros((2, 3, 1, 5), np.float32)
    scores[0, 1], scores[1, 2] = 1, 1
    labels = np.array([[[1] * 5], [[2] * 4 + [0]]])
    np.testing.assert_allclose(score("accuracy", {"y": scores}, labels).per_sample, [1.0, 0.8])


def test_labels_are_classes_whether_numbers_or_text() -> None:
    for labels, other in ((np.array([3, 1, 2, 1]), 2), (np.array(["c", "a", "b", "a"]), "b")):
        changed = labels.copy()
        changed[1] = other
        found = score("agreement", {"label": changed}, reference={"label": labels})
        assert found.per_sample.tolist() == [1, 0, 1, 1]
        assert score("fidelity", {"label": changed}, reference={"label": labels}).value == pytest.approx(0.75)
    with pytest.raises(DataError, match="the model names its classes, and the labels are numbers"):
        score("accuracy", {"label": np.array(["a", "b"])}, np.array([0, 1]))


def test_text_of_several_lengths_agrees_by_position() -> None:
    reference = {"tags": ragged([np.eye(3)[[0, 1, 2]], np.eye(3)[[1]], np.eye(3)[[2, 2]]])}
    outputs = {"tags": ragged([np.eye(3)[[0, 1, 0]], np.eye(3)[[1]], np.eye(3)[[2]]])}
    assert score("agreement", outputs, reference=reference).per_sample == pytest.approx([2 / 3, 1, 0])
    with pytest.raises(DataError, match="size differs from sample to sample"):
        score("accuracy", outputs, np.array([0, 1, 2]))


def test_a_function_gets_what_differs_in_size_as_a_list() -> None:
    def found(outputs: Any, labels: Any, reference: Any) -> Any:
        assert isinstance(outputs["boxes"], list)
        assert isinstance(reference["boxes"], list)
        return np.array([len(boxes) for boxes in outputs["boxes"]], float)

    def mean(outputs: Any, labels: Any, reference: Any) -> float:
        return float(np.mean([len(boxes) for boxes in outputs["boxes"]]))

    outputs = {"boxes": ragged([np.ones((n, 4)) for n in (1, 3, 0, 2)])}
    assert score(found, outputs, reference=outputs).per_sample.tolist() == [1, 3, 0, 2]
    assert score(mean, outputs, reference=outputs).value == pytest.approx(1.5)
