"""What two copies of one model say about a run: whether its ratios stand, and what is beyond the noise."""

from __future__ import annotations

from typing import Any

import pytest
from gate_evidence import SPEEDUP, candidate, report
from hypothesis import given
from hypothesis import strategies as st

from mlopt.report import control
from mlopt.results.figures import Speedup


def speedup(median: float = 1.36, **changes: Any) -> Speedup:
    return SPEEDUP.model_copy(update={"median": median, "ci95": (median - 0.05, median + 0.06), **changes})


def test_copies_that_agree_leave_no_doubt() -> None:
    for sound in (speedup(control=(0.97, 1.06)), speedup(control=None)):
        assert control.doubt(sound, "this run") is None
        assert (control.reach(sound), control.credible(sound)) == (1.0, sound.ci95)
        assert not control.slight(sound)


@pytest.mark.parametrize("copies", [(1.02, 1.25), (0.8, 0.98)])
def test_copies_that_differ_widen_the_interval_either_way_by_as_much(copies: tuple[float, float]) -> None:
    odd = speedup(control=copies)
    assert "the old run measured one model twice" in (control.doubt(odd, "the old run") or "")
    assert control.reach(odd) == pytest.approx(1.25)
    assert control.credible(odd) == pytest.approx((1.31 / 1.25, 1.42 * 1.25))


def test_a_run_that_is_hardly_off_is_worth_reading() -> None:
    assert control.slight(speedup(control=(1.001, 1.03)))
    assert not control.slight(speedup(control=(1.001, 1.04)))


@given(st.floats(0.01, 100), st.floats(0, 5))
def test_faster_and_slower_are_mirror_images(ratio: float, floor: float) -> None:
    turned = control.outside(1 / ratio, floor)
    assert control.outside(ratio, floor) == -turned or abs(max(ratio, 1 / ratio) - 1 - floor) < 1e-9


def test_a_small_difference_that_is_decided_is_hidden_from_nobody() -> None:
    assert not control.hidden(speedup(noise_floor=0.0))
    assert not control.hidden(speedup(1.01, ci95=(1.0, 1.02), noise_floor=0.05))
    assert control.hidden(speedup(1.2, noise_floor=0.3))
    assert control.hidden(speedup(1.0, ci95=(0.7, 1.4), noise_floor=0.05))


def test_a_model_run_in_the_same_way_is_the_same_under_another_name() -> None:
    base = candidate("onnx_fp32")
    same = {"digest": base.digest, "options": base.options}
    assert control.is_same(report(final=same), "onnx_fp32")
    assert not control.is_same(report(final=same | {"batch_size": 8}), "onnx_fp32")
    assert not control.is_same(report(final={"digest": "0" * 64}), "onnx_fp32")
    alone = report(final=same, speedup=SPEEDUP.model_copy(update={"vs": "final"}))
    assert not control.is_same(alone, "onnx_fp32"), "the second copy of one model is its control, and no reference"
