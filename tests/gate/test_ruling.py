"""The rule of the three verdicts: the whole interval decides, and a doubted one reaches further."""

from __future__ import annotations

import math
from typing import Any

import pytest
from gate_evidence import LATENCY, SPEEDUP, report
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopt.gate.evidence import Evidence
from mlopt.gate.judge import judge
from mlopt.gate.limits import Gate
from mlopt.gate.ruling import is_fixed, overclaims, rule, times_as_many
from mlopt.results.report import GateVerdict

finite = st.floats(allow_nan=False, allow_infinity=False)


def one(gate: Gate, **changes: Any) -> GateVerdict:
    (verdict,) = judge([gate], report(**changes))
    return verdict


@pytest.mark.parametrize(
    ("limit", "verdict"),
    [
        ({"max": 12.5}, "pass"),
        ({"max": 12.49}, "inconclusive"),
        ({"max": 11.6}, "inconclusive"),
        ({"max": 11.59}, "fail"),
        ({"min": 11.6}, "pass"),
        ({"min": 11.61}, "inconclusive"),
        ({"min": 12.5}, "inconclusive"),
        ({"min": 12.51}, "fail"),
    ],
)
def test_the_whole_interval_decides(limit: dict[str, float], verdict: str):
    assert one(Gate(metric="latency.p95_ms", **limit)).verdict == verdict


@given(finite, finite, finite, finite)
@settings(deadline=None)
def test_no_interval_passes_that_holds_a_broken_value(value: float, a: float, b: float, limit: float):
    latency = LATENCY.model_copy(update={"p50": value, "ci95": {"p50": (a, b)}})
    found = one(Gate(metric="latency.p50_ms", max=limit), final={"latency_ms": latency})
    outcomes = {point <= limit for point in (value, a, b)}
    assert found.verdict == {(True,): "pass", (False,): "fail"}.get(tuple(outcomes), "inconclusive")


@pytest.mark.parametrize("control", [(1.01, 1.09), (1 / 1.09, 0.99)])
@pytest.mark.parametrize(
    ("limit", "verdict"),
    [
        ({"min": 1.2}, "pass"),
        ({"min": 1.21}, "inconclusive"),
        ({"min": 1.3}, "inconclusive"),
        ({"min": 1.5}, "inconclusive"),
        ({"min": 1.55}, "fail"),
        ({"min": 1000.0}, "fail"),
        ({"max": 1000.0}, "pass"),
        ({"max": 1.5}, "inconclusive"),
        ({"max": 1.2}, "fail"),
    ],
)
def test_where_the_copies_differ_the_interval_reaches_as_much_further(
    control: tuple[float, float], limit: dict[str, float], verdict: str
):
    """Measured 1.36 [1.31, 1.42], by which the control was off by up to 1.09x: [1.202, 1.548] is what decides."""
    bad = SPEEDUP.model_copy(update={"control": control})
    found = one(Gate(metric="speedup.median", **limit), speedup=bad)
    assert (found.verdict, found.value, found.interval) == (verdict, 1.36, (1.31, 1.42))
    doubt = f"{control[0]:.4g} to {control[1]:.4g} times as fast as each other, which excludes 1"
    assert (doubt in found.message) == (verdict == "inconclusive")


def test_a_control_that_holds_1_leaves_small_effects_decidable():
    """The copies differed by up to 6 %, which is chance: a limit 4 % away is decided by the interval alone."""
    assert one(Gate(metric="speedup.median", min=1.3)).verdict == "pass"
    assert one(Gate(metric="speedup.median", min=1.43)).verdict == "fail"


@pytest.mark.parametrize(
    ("limit", "verdict"), [(1.27, "pass"), (1.29, "inconclusive"), (1.43, "inconclusive"), (1.45, "fail")]
)
def test_without_the_controls_interval_its_far_end_is_the_least_effect(limit: float, verdict: str):
    """A report of mlopt 0.1: measured 1.36 [1.31, 1.42], while two copies of one model came out 6 % apart."""
    old = SPEEDUP.model_copy(update={"control": None})
    found = one(Gate(metric="speedup.median", min=limit), speedup=old)
    assert found.verdict == verdict
    assert ("two copies of one model differed by up to 6.0%" in found.message) == (verdict == "inconclusive")


def test_a_figure_that_is_not_there_decides_nothing() -> None:
    assert rule(Gate(metric="latency.p95_ms", max=math.floor(1e9)), Evidence(None)) == "inconclusive"


@pytest.mark.parametrize(
    ("limit", "value", "verdict"),
    [
        ({"min": 1.01}, 1.03, "inconclusive"),
        ({"min": 0.97}, 1.03, "pass"),
        ({"min": 1.0}, 0.98, "inconclusive"),
        ({"max": 0.99}, 0.98, "inconclusive"),
        ({"min": 1.01}, 1.2, "pass"),
        ({"min": 1.0}, 0.8, "fail"),
    ],
)
def test_within_the_noise_no_verdict_says_faster_or_slower(limit: dict[str, float], value: float, verdict: str) -> None:
    gate, evidence = Gate(metric="speedup.median", **limit), Evidence(value, (value, value), noise_floor=0.05)
    assert rule(gate, evidence) == verdict
    assert overclaims(gate, evidence, "inconclusive") is False


def test_half_the_width_takes_four_times_the_samples() -> None:
    gate = Gate(metric="latency.p95_ms", max=12.0)
    assert times_as_many(gate, Evidence(11.0, (9.0, 13.0))) == pytest.approx(4.0)
    assert times_as_many(gate, Evidence(11.0, (10.5, 11.5))) == 1.0
    assert times_as_many(gate, Evidence(12.0, (10.0, 14.0))) == math.inf
    assert times_as_many(gate, Evidence(11.0)) == math.inf


def test_what_a_stored_run_brought_along_no_longer_run_takes_away() -> None:
    gate = Gate(metric="latency.p95_ms", max=12.0)
    wide = Evidence(11.0, (8.0, 14.0), fixed=1.5)
    assert is_fixed(gate, wide)
    assert times_as_many(gate, wide) == math.inf
    assert not is_fixed(gate, Evidence(11.0, (8.0, 14.0), fixed=0.5))
