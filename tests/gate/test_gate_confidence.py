"""Gates at another confidence than 95 %: what is computed again, and from what."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gate_evidence import DROP, report

from mlopt.core.errors import GateError
from mlopt.gate.judge import judge
from mlopt.gate.limits import Gate
from mlopt.measure import statistics
from mlopt.results.figures import Accuracy, Speedup
from mlopt.results.report import GateVerdict


def one(gate: Gate, **changes: Any) -> GateVerdict:
    (verdict,) = judge([gate], report(**changes))
    return verdict


def blocks(scale: float, rounds: int = 30) -> list[list[float]]:
    """Two blocks of 20 calls in each round, 5 % of noise."""
    noise = np.random.default_rng(0).normal(1, 0.05, (2 * rounds, 20))
    return (scale * noise).tolist()


SAMPLES = {"final": blocks(10.0), "onnx_fp32": blocks(13.6)[::-1]}
MEASURED = {
    "final": {"latency_ms": statistics.latency(SAMPLES["final"], 0.05 / 3)},
    "speedup": Speedup(median=1.36, ci95=(1.3, 1.4), vs="onnx_fp32", noise_floor=0.01, control=(0.99, 1.01)),
}


@pytest.mark.parametrize("metric", ["latency.p95_ms", "latency.mean_ms", "throughput_per_s", "speedup.median"])
def test_speed_at_another_confidence_is_computed_from_the_samples(metric: str):
    evidence = report(**MEASURED)
    wide, narrow = (
        judge([Gate(metric=metric, max=1e6, confidence=level)], evidence, samples=SAMPLES)[0] for level in (0.99, 0.8)
    )
    assert wide.ci95 == narrow.ci95  # the report's own
    assert wide.interval[0] < narrow.interval[0] < narrow.interval[1] < wide.interval[1]
    assert (wide.confidence, wide.verdict) == (0.99, "pass")
    assert "at 99 %" in wide.message
    with pytest.raises(GateError, match=r"judge the artifact with its samples\.json, not report\.json alone"):
        judge([Gate(metric=metric, max=1e6, confidence=0.99)], evidence)


def test_the_error_rate_is_shared_by_the_looks():
    """Three looks were planned: 85 % over all of them is 95 % for one."""
    gate = Gate(metric="latency.p95_ms", max=100, confidence=0.85)
    (found,) = judge([gate], report(**MEASURED), samples=SAMPLES)
    assert found.interval == pytest.approx(statistics.latency(SAMPLES["final"], 0.05).ci95["p95"])


def test_samples_of_another_run_are_refused():
    with pytest.raises(GateError, match="not those of the report"):
        judge([Gate(metric="latency.p95_ms", max=100, confidence=0.9)], report(), samples=SAMPLES)


def test_too_few_rounds_for_a_confidence_are_undecided():
    few = {name: each[:14] for name, each in SAMPLES.items()}
    (found,) = judge([Gate(metric="speedup.median", min=1, confidence=0.99)], report(**MEASURED), samples=few)
    assert (found.verdict, found.value) == ("inconclusive", None)
    assert "10 rounds" in found.message


def test_accuracy_at_another_confidence_is_computed_from_the_counts():
    wilson = Accuracy(metric="accuracy", value=0.98, n=1000, ci95=statistics.proportion_interval(980, 1000))
    gate = Gate(metric="accuracy.value", min=0.9, confidence=0.99)
    found = one(gate, final={"accuracy": wilson})
    assert found.interval == statistics.proportion_interval(980, 1000, 0.01)
    assert found.ci95 == wilson.ci95
    mean = Accuracy(metric="iou", value=0.6, n=50, ci95=(0.55, 0.65))
    assert one(gate, final={"accuracy": mean}).interval == pytest.approx(
        statistics.rescaled(0.6, (0.55, 0.65), 50, 0.05, 0.01)
    )


def test_a_drop_at_another_confidence_is_computed_from_the_counts():
    gate = Gate(metric="accuracy.drop_pt", max=1, confidence=0.8)
    hits = DROP.model_copy(update={"lost": 6, "gained": 5})
    low, high = statistics.tango(6, 5, 1000, 0.2)
    assert one(gate, accuracy_drop=hits).interval == pytest.approx((100 * low, 100 * high))
    assert one(gate).interval == pytest.approx(statistics.rescaled(0.1, (-0.3, 0.62), 1000, 0.05, 0.2))
