"""When two versions' answers count as the same."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mlopt.results.figures import Fidelity, OutputFidelity
from mlopt.serve.agreement import relative_error, same, slack_of, together

A = np.array([[1.0, 2.0, 4.0]], np.float32)
PART = OutputFidelity(cosine=1.0, sqnr_db=40.0, max_abs=0.25, shift=0.0, worst_part=0.0, part="")
FIDELITY = Fidelity(cosine=1.0, sqnr_db=40.0, max_abs=0.5, n=8, outputs={"y": PART})


@pytest.mark.parametrize(("off", "slack", "expected"), [(0.0, 0.0, True), (1e-4, 0.0, True), (0.1, 0.0, False),
                                                        (0.1, 0.2, True), (0.3, 0.2, False)])  # fmt: skip
def test_floats_may_be_off_by_rounding_and_what_the_artifacts_say(off: float, slack: float, expected: bool) -> None:
    assert same({"y": A}, {"y": A + np.float32(off)}, {"y": slack}) is expected


def test_shapes_names_and_whole_numbers_must_be_equal() -> None:
    assert not same({"y": A}, {"y": A[0]}, {"y": 9.0})
    assert not same({"y": A}, {"z": A}, {})
    assert not same({"y": np.array([1, 2])}, {"y": np.array([1, 3])}, {"y": 9.0})
    assert same({"y": np.array(["a"])}, {"y": np.array(["a"])}, {})


def test_nan_and_infinity_must_be_in_both() -> None:
    holed = np.array([[1.0, np.nan, np.inf]], np.float32)
    assert same({"y": holed}, {"y": holed.copy()}, {})
    assert not same({"y": holed}, {"y": A}, {"y": 99.0})
    assert not same({"y": A}, {"y": holed}, {"y": 99.0})


def test_two_artifacts_may_be_apart_by_what_both_lost() -> None:
    assert slack_of(None, ("y",)) == {}
    assert slack_of(FIDELITY, ("y", "z")) == {"y": 0.25, "z": 0.5}
    assert together({"y": 0.25}, {"y": 0.5, "z": 1.0}) == {"y": 0.75, "z": 1.0}


def test_the_relative_error_is_that_of_the_worst_output() -> None:
    assert relative_error({"y": A, "n": np.array([1])}, {"y": A, "n": np.array([1])}) == 0
    assert relative_error({"y": A}, {"y": A * 2}) == pytest.approx(1.0)
    assert relative_error({"y": A}, {"y": A[0]}) == math.inf
    assert relative_error({"n": np.array([1])}, {"n": np.array([2])}) == math.inf
    assert relative_error({"y": A}, {"y": A * np.nan}) == math.inf
