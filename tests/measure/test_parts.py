"""Wrong outputs that the cosine of the whole does not see, against the limits of a recipe that mlopt makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gate_evidence import report
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopt.gate.defaults import implied
from mlopt.gate.judge import judge
from mlopt.gate.limits import Gate
from mlopt.measure import chunks
from mlopt.measure.parity import fidelity
from mlopt.results.budget import COSINE

GATES = (Gate(metric="fidelity.cosine", min=COSINE), *implied((Gate(metric="fidelity.cosine", min=COSINE),)))
SHAPES = [(100, 384), (200, 10), (64, 16, 32), (24, 3, 40, 40), (12, 1000), (300, 1), (300,)]


def broken(expected: np.ndarray, got: np.ndarray) -> list[str]:
    """Return the default limits that are broken, of three outputs of which the second is the one in question."""
    fine = np.random.default_rng(9).standard_normal((len(expected), 5))
    reference = {"first": fine, "y": expected, "last": fine}
    found = fidelity(reference, {**reference, "y": got})
    return [one.metric for one in judge(GATES, report(final={"fidelity": found})) if one.verdict != "pass"]


def answers(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def noisy(array: np.ndarray, relative: float, seed: int = 1000) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(array.shape)
    return (array + noise * relative * np.sqrt((array**2).mean())).astype(np.float32)


def changed(array: np.ndarray, place: Any, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    copy = array.copy()
    copy[place] = change(copy[place])
    return copy


@pytest.mark.parametrize("shape", SHAPES)
def test_what_honest_int8_does_passes(shape: tuple[int, ...]) -> None:
    assert broken(answers(shape), answers(shape)) == []
    if np.prod(shape[1:]) > 1:  # of one number a sample, the cosine is that of its sign
        assert broken(answers(shape), noisy(answers(shape), 0.13)) == []
        assert broken(answers(shape), 0.97 * noisy(answers(shape), 0.1)) == []
    assert broken(answers(shape) + 3, noisy(answers(shape) + 3, 0.05)) == []


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "wrong",
    [
        lambda a: 1.1 * a, lambda a: 0.9 * a, lambda a: 3000 * a, lambda a: a / 3000, lambda a: -a, lambda a: 0 * a,
        lambda a: a + 0.1, lambda a: a - 0.1, lambda a: 1.1 * noisy(a, 0.05), lambda a: np.full_like(a, a.mean()),
        lambda a: a[::-1],
    ],
)  # fmt: skip
def test_an_output_that_is_wrong_as_a_whole_fails(shape: tuple[int, ...], wrong: Callable[..., np.ndarray]) -> None:
    assert broken(answers(shape), wrong(answers(shape)))


@pytest.mark.parametrize("change", [lambda a: -a, lambda a: 0 * a, lambda a: 3 * a, lambda a: a + 1.5])
@pytest.mark.parametrize(
    ("shape", "place"),
    [((100, 384), np.s_[:, 77]), ((64, 160, 32), np.s_[:, 5]), ((64, 32, 160), np.s_[..., 5]), ((2, 200, 9, 9), 1)],
)
def test_one_wrong_channel_or_sample_fails(
    shape: tuple[int, ...], place: Any, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    found = broken(answers(shape), changed(answers(shape), place, change))
    assert found
    if shape != (2, 200, 9, 9):
        assert "fidelity.worst_part" in found


@pytest.mark.parametrize("change", [lambda a: -a, lambda a: 4 * a, lambda a: 3000 * a])
def test_one_wrong_sample_of_a_thousand_fails(change: Callable[[np.ndarray], np.ndarray]) -> None:
    expected = answers((1000, 64))
    got = changed(expected, 321, change)
    assert "fidelity.worst_part" in broken(expected, got)
    assert fidelity({"y": expected}, {"y": got}).part == "sample 321 of output 'y'"


def test_each_quantity_of_an_output_is_judged() -> None:
    """A price and a share in one output: INT8 with one scale for both leaves nothing of the share."""
    expected = np.stack([np.linspace(1e4, 2e5, 50), np.linspace(0.1, 0.9, 50)], axis=1)
    got = np.round(expected / 784) * 784
    assert broken(expected, got) == ["fidelity.worst_part"]


@pytest.mark.parametrize("scales", [np.repeat([200.0, 1.0], 20), 10.0 ** np.linspace(0, 4, 40)])
@pytest.mark.parametrize("shape", [(100, 40), (24, 40, 6, 6), (24, 36, 40)])
def test_many_faint_channels_are_not_lost_in_silence(scales: np.ndarray, shape: tuple[int, ...]) -> None:
    """One scale of INT8 for quantities of several sizes; each alone is too faint to be judged on its own."""
    places = scales if shape[-1] == 40 else scales[:, None, None]
    expected = answers(shape) * places
    step = 2 * np.abs(expected).max() / 255
    assert broken(expected, np.round(expected / step) * step) == ["fidelity.worst_part"]
    assert broken(expected, expected + 0.05 * places * answers(shape, seed=1)) == []
    few = np.where(np.arange(40) < 6, 1.0, 200.0)
    mostly_loud = answers(shape) * (few if shape[-1] == 40 else few[:, None, None])
    assert "fidelity.worst_part" not in broken(mostly_loud, np.round(mostly_loud / 6) * 6)
    dead = np.where(np.arange(40) < 20, 1e-5, 200.0)
    half_dead = answers(shape) * (dead if shape[-1] == 40 else dead[:, None, None])
    assert "fidelity.worst_part" not in broken(half_dead, np.round(half_dead / 6) * 6)


def test_a_number_that_tells_nothing_apart_is_useless() -> None:
    kelvin = 300 + answers((200, 1))
    assert broken(kelvin, np.full_like(kelvin, 300)) == ["fidelity.worst_part"]
    assert broken(kelvin, noisy(answers((200, 1)), 0.1) + 300) == []


@pytest.mark.parametrize("shape", [(200, 4), (64, 12, 5), (32, 3, 9, 9)])
def test_an_offset_of_all_samples_hides_nothing(shape: tuple[int, ...]) -> None:
    """Of an output that is the same for every sample, but for a thousandth, a thousandth is an error of all it says."""
    common = 10 + answers((1, *shape[1:]), seed=1)
    expected = common + 0.01 * answers(shape)
    assert broken(expected, np.broadcast_to(common, shape)) == ["fidelity.worst_part"]
    assert broken(expected, np.round(expected * 10) / 10) == ["fidelity.worst_part"]
    assert broken(expected, expected + 0.002 * answers(shape, seed=2)) == []
    same = np.repeat(common, shape[0], axis=0)
    assert broken(same, same + 0.002 * answers(shape, seed=2)) == []
    found = fidelity({"y": expected}, {"y": np.broadcast_to(common, shape)})
    assert (found.part, found.worst_part) == ("what varies between samples of output 'y'", pytest.approx(1, abs=0.05))


def test_samples_of_several_sizes_have_no_places_in_common() -> None:
    expected, got = (np.empty(20, object) for _ in range(2))
    for row in range(20):
        expected[row] = 5 + 0.01 * answers((row % 3 + 1, 4), seed=row)
        got[row] = np.full_like(expected[row], 5)
    assert "fidelity.worst_part" not in broken(expected, got)


def test_scores_beside_boxes_have_a_scale_of_their_own() -> None:
    rng = np.random.default_rng(0)
    boxes, scores = rng.uniform(0, 320, (8, 4, 100)), rng.uniform(0, 0.9, (8, 80, 100)) ** 4
    expected, got = np.concatenate([boxes, scores], axis=1), np.concatenate([boxes, 1.1 * scores], axis=1)
    assert broken(expected, got) == ["fidelity.shift"]


def probabilities(samples: int, classes: int, seed: int = 0) -> np.ndarray:
    scores = 6 * answers((samples, classes), seed)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("samples", "classes"), [(200, 2), (200, 10), (400, 100), (500, 1000)])
def test_a_class_that_changed_is_no_blunder(samples: int, classes: int) -> None:
    expected = probabilities(samples, classes)
    got = changed(expected, np.s_[:2], lambda rows: np.roll(rows, 1, axis=1))
    found = fidelity({"y": expected}, {"y": got})
    assert found.worst_part is not None
    assert found.worst_part < 0.95


def test_a_class_that_is_never_told_any_more_is_one() -> None:
    expected = probabilities(2000, 100)
    expected[:20] = np.eye(100)[7]
    assert "fidelity.worst_part" in broken(expected, changed(expected, np.s_[:, 7], lambda column: 0 * column))


def test_samples_with_nothing_to_say_are_not_held_against_the_model() -> None:
    rng = np.random.default_rng(0)
    expected = np.concatenate([rng.random((40, 1, 20, 20)), 1e-7 * rng.random((40, 1, 20, 20))])
    assert broken(expected, expected + 3e-4 * rng.standard_normal(expected.shape)) == []
    assert broken(0 * expected, 0 * expected) == []


@given(st.floats(0.001, 0.3), st.floats(-1, 1), st.integers(0, 99))
@settings(deadline=None, max_examples=50)
def test_the_shift_is_that_of_scale_and_offset(noise: float, offset: float, seed: int) -> None:
    expected = answers((400, 20), seed)
    found = fidelity({"y": expected}, {"y": noisy((1 + noise) * expected + offset, 0.1)})
    size = np.sqrt(np.mean(np.square(expected)))  # of 8,000 values, so it is 1 within a few percent
    assert found.shift == pytest.approx(np.hypot(noise, offset / size), abs=0.02)


def test_pieces_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = answers((40, 6, 5))
    got = changed(noisy(expected, 0.2), np.s_[:, 2], lambda a: -a)
    whole = fidelity({"y": expected}, {"y": got})
    monkeypatch.setattr(chunks, "_CHUNK_VALUES", 100)
    pieces = fidelity({"y": expected}, {"y": got})
    assert whole.part == pieces.part == "channel 2 of axis 1 of output 'y'"
    assert (pieces.shift, pieces.worst_part) == (pytest.approx(whole.shift), pytest.approx(whole.worst_part))


def test_each_output_has_figures_of_its_own() -> None:
    expected = {"a": answers((20, 4)), "b": answers((20, 4)), "labels": np.arange(20)}
    found = fidelity(expected, {**expected, "b": 2 * expected["b"]})
    assert (found.outputs["a"].shift, found.outputs["a"].worst_part) == (0.0, 0.0)
    assert found.outputs["labels"].sqnr_db is None
    assert found.outputs["b"].shift == pytest.approx(1.0) == found.shift
    gate = Gate(metric="fidelity.shift", max=0.08)
    assert judge([gate], report(final={"fidelity": found}))[0].message.startswith(
        "1 (output 'b'), n = 20: <= 0.08 is not met."
    )
