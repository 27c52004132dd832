"""The sentence that a run ends with agrees with its gates and with the noise of the run."""

from __future__ import annotations

from typing import Any

import pytest
from gate_evidence import STEP, candidate
from gate_evidence import report as evidence
from hypothesis import given
from hypothesis import strategies as st

from mlopt.gate.judge import judge
from mlopt.gate.limits import Gate
from mlopt.report import control, outcome
from mlopt.results.figures import Speedup
from mlopt.results.report import Report

DEFAULT = Gate(metric="speedup.median", min=1.0, vs="onnx_fp32", on_inconclusive="pass")


def measured(median: float, low: float, high: float, copies: tuple[float, float] = (0.97, 1.06), **more: Any) -> Report:
    floor = max(copies[1], 1 / copies[0]) - 1
    speedup = Speedup(median=median, ci95=(low, high), vs="onnx_fp32", noise_floor=floor, control=copies)
    return evidence(speedup=speedup, speedups={"onnx_fp32": speedup}, **more)


def unchanged(**more: Any) -> Report:
    """Return the report of a run that ships its source."""
    same = candidate("onnx_fp32", fidelity=None)
    return measured(1.0, 1.0, 1.0, final={"digest": same.digest}, **more)


ratios = st.floats(0.3, 3).flatmap(
    lambda middle: st.tuples(st.just(middle), st.floats(0.5, 1).map(lambda s: middle * s),
                             st.floats(1, 2).map(lambda s: middle * s))
)  # fmt: skip
controls = st.tuples(st.floats(0.6, 1.1), st.floats(1, 1.8)).map(lambda pair: (min(pair), max(pair)))


@given(ratios, controls, st.floats(0.5, 2), st.booleans())
def test_no_verdict_claims_what_the_headline_does_not(
    ratio: tuple[float, float, float], copies: tuple[float, float], bound: float, least: bool
) -> None:
    report = measured(*ratio, copies)
    (found,) = judge([Gate(metric="speedup.median", **{"min" if least else "max": bound})], report)
    claimed = control.beyond_noise(report.speedup)
    if found.verdict == "inconclusive":
        return
    above = (found.verdict == "pass") is least  # the ratio is above the bound, or below it
    if above and (bound > 1 or (bound == 1 and found.verdict == "fail")):
        assert claimed == 1
    if not above and (bound < 1 or (bound == 1 and found.verdict == "fail")):
        assert claimed == -1


def test_the_default_gate_does_not_fail_by_noise() -> None:
    report = measured(0.97, 0.95, 0.99)
    (found,) = judge([DEFAULT], report)
    assert (found.found, found.verdict) == ("inconclusive", "pass")
    assert "two copies of one model differed by up to 6.0% in this run" in found.message
    assert "nothing is faster or slower by this" in found.message
    assert outcome.headline(report).startswith("No measurable difference in speed from onnx_fp32, ")
    (slow,) = judge([DEFAULT], measured(0.9, 0.88, 0.92))
    assert slow.verdict == "fail"


def test_a_limit_of_ones_own_that_is_missed_fails() -> None:
    wanted = Gate(metric="speedup.median", min=1.2)
    assert judge([wanted], measured(1.1, 1.08, 1.13))[0].verdict == "fail"
    assert judge([wanted], measured(1.3, 1.25, 1.35))[0].verdict == "pass"
    assert judge([wanted], unchanged())[0].verdict == "fail"
    assert judge([Gate(metric="speedup.median", min=0.97)], measured(1.0, 0.98, 1.02))[0].verdict == "pass"


@pytest.mark.parametrize("copies", [(0.97, 1.06), (1.02, 1.5)])
def test_a_model_is_as_fast_as_itself_whatever_the_machine_did(copies: tuple[float, float]) -> None:
    same = candidate("onnx_fp32", fidelity=None)
    report = measured(1.0, 1.0, 1.0, copies, final={"digest": same.digest})
    (found,) = judge([DEFAULT], report)
    assert (found.found, found.value) == ("pass", 1.0)
    assert found.message.startswith("1 (the same model as onnx_fp32) [1, 1], n = 30 rounds: >= 1 vs onnx_fp32 is met.")


def test_a_run_that_gained_nothing_says_what_was_tried(golden: Any) -> None:
    def step(name: str, status: str, reason: str | None = None) -> Any:
        return STEP.model_copy(update={"name": name, "status": status, "reason": reason})

    noisy = (
        "too noisy to tell: 2.13x (0.90 to 4.10) the speed of the model before it; two copies of one model differed "
    )
    steps = (
        step("simplify", "applied"),
        step("quantize", "dropped", noisy),
        step("fp16", "refused", "FP16 on x86 is computed in FP32: half the size, no faster"),
        step("acme.prune", "failed", f"its worker was killed by signal 11 {'again and ' * 12}again"),
        step("fuse", "dropped"),
    )
    golden("report/nothing_helped.txt", outcome.headline(unchanged(steps=steps)) + "\n")
