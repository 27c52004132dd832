"""Two sketches side by side: shifts and PSI as they are defined, on bins of the reference."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sketched import document, of, rows

from mlopt.monitor.compare import BINS, classes_moved, pairs, psi, shift
from mlopt.sketches.kll import RANK_SIGMA


def test_equal_rows_are_not_apart() -> None:
    made = document(150)
    found = list(pairs(made, made))
    assert [(one.tensor, one.part) for one in found] == [
        *(("x", str(feature)) for feature in range(5)), ("y", "largest"), ("y", "lead"), ("y", "class"),
    ]  # fmt: skip
    assert all(one.shift == 0 and one.psi == 0 for one in found)
    assert [one.ordered for one in found][-2:] == [True, False]


@pytest.mark.parametrize("moved", [0.1, 0.25, 0.5, 1.0])
def test_a_shift_is_that_of_the_distribution(moved: float) -> None:
    found = next(one for one in pairs(document(20_000), document(20_000, 1, moved)) if one.part == "1")
    truth = 2 * NormalDist().cdf(moved / 2) - 1
    assert found.shift == pytest.approx(truth, abs=0.02)
    assert found.psi == pytest.approx(moved**2, rel=0.2, abs=0.01)
    assert (found.reference.rows, found.live.rows, found.live.noise) == (20_000, 20_000, RANK_SIGMA)


def test_bins_are_tenths_of_the_reference() -> None:
    found = next(iter(pairs(document(5000), document(5000, 1))))
    assert len(found.reference.shares) == BINS
    assert found.reference.shares == pytest.approx(np.full(BINS, 0.1), abs=0.01)
    assert found.live.shares.sum() == pytest.approx(1)


def test_values_that_repeat_make_fewer_bins() -> None:
    def made(share: float) -> object:
        inputs, outputs = rows(1000)
        inputs["x"][:, 0] = np.arange(1000) < 1000 * share
        return of(inputs, outputs)

    found = next(iter(pairs(made(0.2), made(0.6))))
    assert found.reference.shares.tolist() == pytest.approx([0.8, 0.2])
    assert found.shift == pytest.approx(0.4)
    constant = next(iter(pairs(made(0.0), made(0.0))))
    assert (constant.reference.shares.tolist(), constant.shift) == ([1.0], 0.0)


def test_rare_classes_count_together() -> None:
    inputs, outputs = rows(400)
    outputs["y"] = np.eye(3, dtype=np.float32)[[0] * 390 + [1] * 7 + [2] * 3]
    made = of(inputs, outputs)
    found = list(pairs(made, made))[-1]
    assert found.reference.shares.tolist() == pytest.approx([390 / 400, 7 / 400, 3 / 400])
    outputs["y"] = np.eye(3, dtype=np.float32)[[0] * 394 + [1] * 3 + [2] * 3]
    found = list(pairs(of(inputs, outputs), made))[-1]
    assert len(found.reference.shares) == 2


def test_what_is_not_in_both_is_left_to_others() -> None:
    inputs, _ = rows(20)
    assert {one.tensor for one in pairs(document(20), of(inputs, {}))} == {"x"}
    assert list(pairs(document(20), of({}, {}))) == []


def test_classes_that_moved_come_first() -> None:
    assert classes_moved((50, 30, 20), (20, 30, 50)) == [(0, 0.5, 0.2), (2, 0.2, 0.5)]


@given(st.lists(st.integers(0, 50), min_size=2, max_size=12), st.lists(st.integers(0, 50), min_size=12, max_size=12))
def test_both_figures_are_of_two_distributions(a: list[int], b: list[int]) -> None:
    one, other = (np.array(each[: len(a)], float) + 1e-9 for each in (a, b))
    one, other = one / one.sum(), other / other.sum()
    assert 0 <= shift(one, other) <= 1
    assert psi(one, other, 100, 100) >= 0
    assert psi(one, other, 100, 100) == pytest.approx(float(psi(other, one, 100, 100)))
    assert shift(one, one) == psi(one, one, 9, 9) == 0
