from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from gate_evidence import DROP, FIDELITY, LATENCY, SPEEDUP, STEP, candidate, report
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mlopt.core.errors import GateError
from mlopt.gate.judge import judge, overall
from mlopt.gate.limits import Gate, HardwareClass
from mlopt.gate.readings import READINGS
from mlopt.gate.vocabulary import METRICS
from mlopt.results.report import ColdStart, GateVerdict, Latency

finite = st.floats(allow_nan=False, allow_infinity=False)


def one(gate: Gate, **changes: Any) -> GateVerdict:
    (verdict,) = judge([gate], report(**changes))
    return verdict


# What a gate may be


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"metric": "latency.p95_ms"}, "exactly one of `max` and `min`"),
        ({"metric": "latency.p95_ms", "max": 1, "min": 0}, "exactly one of `max` and `min`"),
        ({"metric": "latency.p95", "max": 1}, "did you mean 'latency.p95_ms'?"),
        ({"metric": "bananas", "max": 1}, "choose one of latency.p50_ms"),
        ({"metric": "size_mb", "max": 1, "vs": "onnx_fp32"}, "`vs` does not go with size_mb"),
        ({"metric": "size_mb", "max": math.nan}, "finite"),
        ({"metric": "size_mb", "max": math.inf}, "finite"),
        ({"metric": "size_mb", "max": "12"}, "valid number"),
        ({"metric": "size_mb", "max": True}, "valid number"),
        ({"metric": "size_mb", "max": 1, "on_inconclusive": "ignore"}, "'fail', 'warn' or 'pass'"),
        ({"metric": "latency.p95_ms", "max": 1, "confidence": 0.5}, "greater than 0.5"),
        ({"metric": "latency.p95_ms", "max": 1, "confidence": 1.0}, "less than or equal to 0.9999"),
        ({"metric": "latency.p95_ms", "max": 1, "hardware": {"ram": 2}}, "not permitted"),
        ({"metric": "latency.p95_ms", "max": 1, "hardware": {"cores": 0}}, "greater than or equal to 1"),
        ({"metric": "size_mb", "maximum": 1}, "not permitted"),
    ],
)
def test_a_gate_that_makes_no_sense_is_refused(fields: dict[str, Any], message: str):
    with pytest.raises(ValidationError) as error:
        Gate(**fields)
    assert message in str(error.value)


def test_limits_as_text():
    assert Gate(metric="latency.p95_ms", max=12).limit == "<= 12"
    assert Gate(metric="speedup.median", min=1.2, vs="onnx_fp32").limit == ">= 1.2 vs onnx_fp32"
    assert Gate(metric="latency.p95_ms", max=12.0000001).limit == "<= 12.0000001"


# Three verdicts


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


@pytest.mark.parametrize(
    ("metric", "value", "n"),
    [
        ("latency.p50_ms", 10.0, 1000),
        ("latency.p90_ms", 11.0, 1000),
        ("latency.p95_ms", 12.0, 1000),
        ("latency.p99_ms", 15.0, 1000),
        ("latency.mean_ms", 10.2, 1000),
        ("throughput_per_s", 98.0, 1000),
        ("speedup.median", 1.36, 30),
        ("cold_start.load_ms", 40.0, None),
        ("cold_start.first_ms", 15.0, None),
        ("size_mb", 4.3, None),
        ("size.ratio", 0.5, None),
        ("peak_rss_mb", 210.0, None),
        ("peak_rss.ratio", 0.75, None),
        ("accuracy.value", 0.98, 1000),
        ("accuracy.drop_pt", 0.1, 1000),
        ("fidelity.cosine", 0.998, 256),
        ("fidelity.sqnr_db", 26.5, 256),
        ("fidelity.max_abs", 0.4, 256),
        ("fidelity.relative_error", 10 ** (-26.5 / 20), 256),
        ("fidelity.shift", 0.01, 256),
        ("fidelity.worst_part", 0.1, 256),
        ("fidelity.matched", 0.98, 256),
    ],
)
def test_every_metric_reads_its_figure(metric: str, value: float, n: int | None):
    far, base = abs(value) + 1000, candidate("onnx_fp32", size_bytes=8_600_000, peak_rss_bytes=280_000_000)
    changes: dict[str, Any] = {
        "baseline": base,
        "references": {},
        "final": {
            "cold_start": ColdStart(load_ms=40, first_ms=15),
            "fidelity": FIDELITY.model_copy(update={"matched": 0.98}),
        },
    }
    met, broken = one(Gate(metric=metric, max=far), **changes), one(Gate(metric=metric, min=far), **changes)
    assert (met.verdict, broken.verdict) == ("pass", "fail")
    assert (met.metric, met.value, met.n) == (metric, value, n)


def test_all_metrics_are_tested_above():
    cases = test_every_metric_reads_its_figure.pytestmark[0].args[1]
    assert {case[0] for case in cases} == set(METRICS) - {"latency.p99.9_ms"}


def test_a_figure_without_interval_is_compared_directly():
    assert one(Gate(metric="size_mb", max=4.3)).verdict == "pass"
    assert one(Gate(metric="size_mb", max=4.29)).verdict == "fail"


@given(finite, finite, finite, finite)
@settings(deadline=None)
def test_no_interval_passes_that_holds_a_broken_value(value: float, a: float, b: float, limit: float):
    latency = LATENCY.model_copy(update={"p50": value, "ci95": {"p50": (a, b)}})
    found = one(Gate(metric="latency.p50_ms", max=limit), final={"latency_ms": latency})
    outcomes = {point <= limit for point in (value, a, b)}
    assert found.verdict == {(True,): "pass", (False,): "fail"}.get(tuple(outcomes), "inconclusive")


def test_a_percentile_that_was_not_supported_is_inconclusive_with_its_reason():
    found = one(Gate(metric="latency.p99.9_ms", max=50))
    assert (found.verdict, found.value, found.n) == ("inconclusive", None, 1000)
    assert "n = 1000, and p99.9 takes at least 2995 samples" in found.message
    assert "measure longer" in found.message


def test_throughput_has_the_interval_of_the_mean_turned_over():
    """Batches of 8 at 10.2 ms [10, 10.4]."""
    fast = {"throughput_per_s": 8e3 / 10.2, "batch_size": 8}
    found = one(Gate(metric="throughput_per_s", min=800), final=fast)
    assert found.interval == pytest.approx((8e3 / 10.4, 8e3 / 10.0))
    assert found.verdict == "inconclusive"
    assert one(Gate(metric="throughput_per_s", min=760), final=fast).verdict == "pass"


# The A/A control


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


def test_a_run_whose_copies_differ_is_doubted_on_ratios_of_speed_only():
    bad = SPEEDUP.model_copy(update={"control": (1.5, 2.0)})
    assert one(Gate(metric="latency.p95_ms", max=12.5), speedup=bad).verdict == "pass"


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


def test_equal_outputs_have_no_noise_and_pass():
    equal = {"fidelity": FIDELITY.model_copy(update={"sqnr_db": None})}
    found = one(Gate(metric="fidelity.sqnr_db", min=20), final=equal)
    assert (found.verdict, found.value) == ("pass", None)
    assert one(Gate(metric="fidelity.sqnr_db", max=20), final=equal).verdict == "fail"


@pytest.mark.parametrize("counts_as", ["pass", "fail"])
def test_undecided_can_count_as_something_and_says_so(counts_as: Any):
    found = one(Gate(metric="latency.p95_ms", max=12, on_inconclusive=counts_as))
    assert (found.verdict, found.found, found.on_inconclusive) == (counts_as, "inconclusive", counts_as)
    assert found.message.endswith(f"Undecided counts as {counts_as} here (on_inconclusive: {counts_as}).")
    decided = Gate(metric="latency.p95_ms", max=11, on_inconclusive="pass")
    assert one(decided).verdict == "fail"
    assert "on_inconclusive" not in one(decided).message


def test_undecided_can_be_a_warning():
    found = one(Gate(metric="latency.p95_ms", max=12, on_inconclusive="warn"))
    assert (found.verdict, found.found, overall([found])) == ("pass", "inconclusive", "pass")
    assert found.message.endswith("Undecided counts as pass here, with a warning (on_inconclusive: warn).")


# What was not measured


@pytest.mark.parametrize(
    ("gate", "changes", "message"),
    [
        (Gate(metric="accuracy.value", min=0.9), {"final": {"accuracy": None}}, "no accuracy was measured"),
        (Gate(metric="accuracy.drop_pt", max=1), {"accuracy_drop": None}, "no accuracy drop was measured"),
        (Gate(metric="fidelity.cosine", min=0.9), {"final": {"fidelity": None}}, "fidelity was not measured"),
        (Gate(metric="fidelity.matched", min=0.9), {"final": {"fidelity": None}}, "no detections were matched"),
        (Gate(metric="speedup.median", min=1, vs="onnx_fp16"), {}, "did you mean 'onnx_fp32'?"),
        (Gate(metric="accuracy.drop_pt", max=1, vs="torch_eager"), {}, "measured against another model"),
    ],
)
def test_a_gate_on_what_was_not_measured_is_an_error(gate: Gate, changes: dict[str, Any], message: str):
    with pytest.raises(GateError, match=message) as error:
        judge([gate], report(**changes))
    assert error.value.problems[0].where == f"gate {gate.metric} {gate.limit}"
    assert error.value.problems[0].fix


@pytest.mark.parametrize("vs", [None, "final", "./stored.json"])
def test_a_speedup_of_one_model_alone_is_an_error(vs: str | None):
    """As ``mlopt bench`` reports it: against its own second copy."""
    itself = SPEEDUP.model_copy(update={"vs": "final", "median": 1.0, "ci95": (0.99, 1.01)})
    alone = report(baseline=candidate("final"), references={}, speedup=itself, speedups={"final": itself})
    with pytest.raises(GateError, match="one model alone, and a speedup compares two") as error:
        judge([Gate(metric="speedup.median", min=0.9, vs=vs)], alone, baselines={"./stored.json": report()})
    assert "--against" in str(error.value)


@pytest.mark.parametrize("metric", ["size.ratio", "peak_rss.ratio"])
def test_a_model_alone_is_no_multiple_of_itself(metric: str):
    itself = SPEEDUP.model_copy(update={"vs": "final", "median": 1.0, "ci95": (0.99, 1.01)})
    alone = report(baseline=candidate("final"), references={}, speedup=itself, speedups={"final": itself})
    for vs in (None, "final"):
        with pytest.raises(GateError, match="one model alone, and a ratio compares two"):
            judge([Gate(metric=metric, max=1, vs=vs)], alone)
    gate = Gate(metric=metric, max=1, vs="./stored.json")
    assert judge([gate], alone, baselines={"./stored.json": alone})[0].verdict == "pass"


def test_all_errors_come_at_once():
    gates = [
        Gate(metric="accuracy.value", min=0.9),
        Gate(metric="size_mb", max=9),
        Gate(metric="fidelity.cosine", min=0),
    ]
    with pytest.raises(GateError) as error:
        judge(gates, report(final={"accuracy": None, "fidelity": None}))
    assert len(error.value.problems) == 2


def test_nothing_to_judge_is_an_error():
    for ask in (lambda: judge([], report()), lambda: overall([])):
        with pytest.raises(GateError, match="no gates"):
            ask()


def test_a_speedup_is_against_the_baseline_unless_it_says_otherwise():
    assert one(Gate(metric="speedup.median", min=1)).value == SPEEDUP.median
    assert one(Gate(metric="speedup.median", min=1, vs="torch_eager")).value == 3.0


# Overall


@given(st.lists(st.sampled_from(["pass", "fail", "inconclusive"]), min_size=1))
def test_the_worst_verdict_is_the_overall_one(verdicts: list[Any]):
    judged = [GateVerdict(metric="m", limit="", value=1, ci95=None, n=1, verdict=v, message="") for v in verdicts]
    assert overall(judged) == max(verdicts, key=["pass", "inconclusive", "fail"].index)


# Messages


def test_messages(golden: Callable[[str, str], None]):
    """What people read: the figure, its interval, n, the limit, and what to do."""
    gates = [
        Gate(metric="latency.p95_ms", max=12.5),
        Gate(metric="latency.p95_ms", max=11.0),
        Gate(metric="latency.p95_ms", max=12.0),
        Gate(metric="latency.p99.9_ms", max=20),
        Gate(metric="size_mb", max=4.0),
        Gate(metric="speedup.median", min=1.2, vs="onnx_fp32"),
        Gate(metric="speedup.median", min=1.35),
        Gate(metric="speedup.median", min=1.32),
        Gate(metric="accuracy.value", min=0.98),
        Gate(metric="accuracy.drop_pt", max=0.5),
        Gate(metric="accuracy.drop_pt", max=0.05),
        Gate(metric="accuracy.drop_pt", max=0.1001),
        Gate(metric="fidelity.cosine", min=0.99),
        Gate(metric="latency.p95_ms", max=12.2, on_inconclusive="pass"),
        Gate(metric="latency.p95_ms", max=12.2, on_inconclusive="warn"),
        Gate(metric="throughput_per_s", min=97),
        Gate(metric="accuracy.value", min=0.96, confidence=0.99),
        Gate(metric="size.ratio", max=0.5),
        Gate(metric="latency.p90_ms", max=9, hardware=HardwareClass(cpu="Intel*", isa=("avx512_vnni",))),
        Gate(metric="latency.p99_ms", max=20, hardware=HardwareClass(cpu="AMD EPYC*", gpu="none")),
        Gate(metric="latency.p99_ms", max=9, hardware=HardwareClass(cpu="Intel*")),
        Gate(metric="speedup.median", min=1.3601, on_inconclusive="pass"),
    ]
    lines = [f"{found.verdict}: {found.message}" for found in judge(gates, report())]
    bad = SPEEDUP.model_copy(update={"control": (1.02, 1.09)})
    doubted = [Gate(metric="speedup.median", min=limit) for limit in (1.2, 1.25, 1000)]
    lines += [f"{found.verdict}: {found.message}" for found in judge(doubted, report(speedup=bad))]
    optimized = report(steps=(STEP,))
    lines += [f"{found.verdict}: {found.message}" for found in judge(gates[1:2], optimized)]
    golden("gate/messages.txt", "\n".join(lines) + "\n")


def test_the_samples_a_drop_needs_follow_from_what_the_scores_carry():
    """Of scores between 0 and 1, a differing one weighs less than a lost hit: the interval tells how much."""
    gate = Gate(metric="accuracy.drop_pt", max=0.5)
    hits = DROP.model_copy(update={"pt": 0.0, "disagreements": 5, "ci95": (-0.65, 0.65)})
    finer = DROP.model_copy(update={"pt": 0.0, "disagreements": 800, "ci95": (-0.65, 0.65)})
    assert "about 1,570 evaluation samples" in one(gate, accuracy_drop=hits).message
    assert "about 3,453 evaluation samples" in one(gate, accuracy_drop=finer).message


def test_a_report_without_an_interval_cannot_decide_a_percentile():
    bare = Latency(**{**LATENCY.model_dump(), "ci95": {}})
    found = one(Gate(metric="latency.p50_ms", max=50), final={"latency_ms": bare})
    assert found.verdict == "inconclusive"
    assert "no interval" in found.message


def test_the_samples_that_would_decide_follow_from_the_width():
    """1.36 [1.31, 1.42] against 1.34: half-width 0.05, distance 0.02, so 6.25 times the 30 rounds."""
    near = one(Gate(metric="speedup.median", min=1.34))
    assert "about 188 rounds would decide it (there are 30)" in near.message
    unknown = one(Gate(metric="speedup.median", min=1.34), sampling=None)
    assert "a run about 6.2 times as long would decide it" in unknown.message
    assert "no run of reasonable length decides it" in one(Gate(metric="speedup.median", min=1.3601)).message


def test_each_metric_of_the_vocabulary_can_be_read() -> None:
    assert list(READINGS) == list(METRICS)
