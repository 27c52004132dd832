"""How each metric is read from a report, and what is said where it was not measured."""

from __future__ import annotations

from typing import Any

import pytest
from gate_evidence import FIDELITY, LATENCY, SPEEDUP, candidate, report

from mlopt.core.errors import GateError
from mlopt.gate.judge import judge
from mlopt.gate.limits import Gate
from mlopt.gate.readings import READINGS
from mlopt.gate.vocabulary import METRICS, SERVING
from mlopt.results.figures import ColdStart, Latency
from mlopt.results.report import Effort, GateVerdict


def one(gate: Gate, **changes: Any) -> GateVerdict:
    (verdict,) = judge([gate], report(**changes))
    return verdict


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
    others = {name for name in METRICS if name.startswith(SERVING)} | {"latency.p99.9_ms", "run.quick"}
    assert {case[0] for case in cases} == set(METRICS) - others


@pytest.mark.parametrize("metric", [name for name in METRICS if name.startswith(SERVING)])
def test_the_report_of_a_model_does_not_answer_for_a_server(metric: str) -> None:
    with pytest.raises(GateError, match="says nothing of a server under load") as caught:
        one(Gate(metric=metric, max=1.0))
    assert "mlopt loadtest" in str(caught.value)


@pytest.mark.parametrize(("effort", "verdict"), [
    (None, "pass"),
    (Effort(quick=False, time_limit_s=60, shortened=()), "pass"),
    (Effort(quick=True, time_limit_s=None, shortened=()), "fail"),
])  # fmt: skip
def test_a_gate_sees_a_quick_run(effort: Effort | None, verdict: str) -> None:
    assert one(Gate(metric="run.quick", max=0), effort=effort).verdict == verdict


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


def test_a_run_whose_copies_differ_is_doubted_on_ratios_of_speed_only():
    bad = SPEEDUP.model_copy(update={"control": (1.5, 2.0)})
    assert one(Gate(metric="latency.p95_ms", max=12.5), speedup=bad).verdict == "pass"


def test_equal_outputs_have_no_noise_and_pass():
    equal = {"fidelity": FIDELITY.model_copy(update={"sqnr_db": None})}
    found = one(Gate(metric="fidelity.sqnr_db", min=20), final=equal)
    assert (found.verdict, found.value) == ("pass", None)
    assert one(Gate(metric="fidelity.sqnr_db", max=20), final=equal).verdict == "fail"


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


def test_a_speedup_is_against_the_baseline_unless_it_says_otherwise():
    assert one(Gate(metric="speedup.median", min=1)).value == SPEEDUP.median
    assert one(Gate(metric="speedup.median", min=1, vs="torch_eager")).value == 3.0


def test_against_the_fastest_unchanged_source_the_baseline_answers_if_it_is_that_one() -> None:
    faster, smaller = Gate(metric="speedup.median", min=1, vs="fastest_source"), "size.ratio"
    ratio = Gate(metric=smaller, max=9, vs="fastest_source")
    assert one(faster).value == SPEEDUP.median
    assert one(ratio).value == one(Gate(metric=smaller, max=9)).value
    fastest = candidate("fastest_source", size_bytes=1_000_000)
    against = SPEEDUP.model_copy(update={"median": 1.1, "ci95": (1.05, 1.15), "vs": "fastest_source"})
    more = {"references": {"fastest_source": fastest}, "speedups": {"fastest_source": against}}
    assert one(faster, **more).value == 1.1
    assert one(ratio, **more).value == pytest.approx(4.3)


def test_a_report_without_an_interval_cannot_decide_a_percentile():
    bare = Latency(**{**LATENCY.model_dump(), "ci95": {}})
    found = one(Gate(metric="latency.p50_ms", max=50), final={"latency_ms": bare})
    assert found.verdict == "inconclusive"
    assert "no interval" in found.message


def test_each_metric_of_the_vocabulary_can_be_read() -> None:
    assert list(READINGS) == list(METRICS)
