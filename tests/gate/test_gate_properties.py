"""What holds for gates on any figures, and which of them more measuring can decide."""

from __future__ import annotations

from typing import Any

import pytest
from gate_evidence import DROP, LATENCY, SPEEDUP, report
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopt.core.errors import GateError
from mlopt.gate.judge import judge, needs_more
from mlopt.gate.limits import Gate, HardwareClass
from mlopt.gate.vocabulary import METRICS
from mlopt.results.figures import Accuracy, ColdStart, Sampling, Speedup
from mlopt.results.report import GateVerdict

finite = st.floats(allow_nan=False, allow_infinity=False)


def one(gate: Gate, **changes: Any) -> GateVerdict:
    (verdict,) = judge([gate], report(**changes))
    return verdict


# What more measuring can decide


@pytest.mark.parametrize(
    ("gate", "names"),
    [
        (Gate(metric="speedup.median", min=1.2), set()),
        (Gate(metric="speedup.median", min=1.4), {"onnx_fp32", "final"}),
        (Gate(metric="speedup.median", min=3.1, vs="torch_eager"), {"torch_eager", "onnx_fp32", "final"}),
        (Gate(metric="speedup.median", min=1.4, on_inconclusive="pass"), set()),
        (Gate(metric="speedup.median", min=1.4, on_inconclusive="warn"), set()),
        (Gate(metric="speedup.median", min=1.4, on_inconclusive="fail"), {"onnx_fp32", "final"}),
        (Gate(metric="latency.p95_ms", max=12), {"final"}),
        (Gate(metric="latency.p99.9_ms", max=12), {"final"}),
        (Gate(metric="throughput_per_s", min=98), {"final"}),
        (Gate(metric="latency.p95_ms", max=12, hardware=HardwareClass(cpu="Intel*")), set()),
        (Gate(metric="accuracy.value", min=0.98), set()),
        (Gate(metric="accuracy.drop_pt", max=0.5), set()),
        (Gate(metric="size_mb", max=1), set()),
    ],
)
def test_more_samples_are_asked_for_where_they_can_decide(gate: Gate, names: set[str]):
    assert needs_more([gate], report()) == names


def test_accuracy_that_is_not_known_yet_does_not_stop_the_measuring():
    gates = [Gate(metric="accuracy.value", min=0.9), Gate(metric="latency.p95_ms", max=12)]
    assert needs_more(gates, report(final={"accuracy": None})) == {"final"}
    assert needs_more([], report()) == set()


def test_a_control_that_excludes_1_asks_for_more_where_the_limit_is_near():
    bad = report(speedup=SPEEDUP.model_copy(update={"control": (1.01, 1.09)}))
    assert needs_more([Gate(metric="speedup.median", min=1.25)], bad) == {"onnx_fp32", "final"}
    assert needs_more([Gate(metric="speedup.median", min=1000)], bad) == set()


# For every figure

figures = st.floats(0.01, 1e4)
gates_on_p50 = st.builds(
    lambda bound, side, policy: Gate(metric="latency.p50_ms", on_inconclusive=policy, **{side: bound}),
    figures, st.sampled_from(["min", "max"]), st.sampled_from([None, "fail", "warn", "pass"]),
)  # fmt: skip


def median(value: float, below: float, above: float) -> dict[str, Any]:
    latency = LATENCY.model_copy(update={"p50": value, "ci95": {"p50": (value - below, value + above)}})
    return {"latency_ms": latency}


@given(gates_on_p50, figures, figures, figures, figures)
@settings(deadline=None)
def test_a_better_figure_never_gets_a_worse_verdict(gate: Gate, value: float, low: float, high: float, more: float):
    better = value - more if gate.max is not None else value + more
    ranks = [
        ["fail", "inconclusive", "pass"].index(one(gate, final=median(each, low, high)).found)
        for each in (value, better)
    ]
    assert ranks[0] <= ranks[1]


@given(gates_on_p50, figures, figures, figures)
@settings(deadline=None)
def test_a_limit_within_the_interval_decides_nothing(gate: Gate, value: float, low: float, high: float):
    found = one(gate, final=median(value, low, high))
    if value - low < gate.bound < value + high:
        assert found.found == "inconclusive"
    assert found.message.startswith(f"{value:.5g} [")
    assert "n = 1000" in found.message
    assert gate.limit in found.message


@given(
    st.sampled_from([*METRICS]), finite, st.sampled_from(["min", "max"]), st.floats(0.51, 0.9999),
    st.tuples(finite, finite), st.integers(1, 2**53),
)  # fmt: skip
@settings(deadline=None)
def test_any_figures_are_judged_or_refused(
    metric: str, value: float, side: str, confidence: float, ends: tuple[float, float], count: int
):
    """A report may come from anybody."""
    latency = LATENCY.model_copy(update={"p50": value, "mean": value, "ci95": {"p50": ends, "mean": ends}})
    final = {"latency_ms": latency, "accuracy": Accuracy(metric="accuracy", value=value, n=count, ci95=ends)}
    evidence = report(
        final=final | {"throughput_per_s": value, "cold_start": ColdStart(load_ms=value, first_ms=value)},
        speedup=Speedup(median=value, ci95=ends, vs="onnx_fp32", noise_floor=value),
        accuracy_drop=DROP.model_copy(update={"pt": value, "ci95": ends, "n": count, "lost": count, "gained": 1}),
        sampling=Sampling(rounds=count, looks=1, looks_planned=count, stopped="looks", seconds=1),
    )
    try:
        said = judge([Gate(metric=metric, confidence=confidence, **{side: value})], evidence)[0].message
    except GateError as error:
        said = str(error)
    assert said
