"""What people read of a verdict: the figure, its interval, n, the limit, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gate_evidence import DROP, SPEEDUP, report

from mlopt.gate.judge import judge
from mlopt.gate.limits import Gate, HardwareClass
from mlopt.results.report import GateVerdict


def one(gate: Gate, **changes: Any) -> GateVerdict:
    (verdict,) = judge([gate], report(**changes))
    return verdict


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
    golden("gate/messages.txt", "\n".join(lines) + "\n")


def test_the_samples_a_drop_needs_follow_from_what_the_scores_carry():
    """Of scores between 0 and 1, a differing one weighs less than a lost hit: the interval tells how much."""
    gate = Gate(metric="accuracy.drop_pt", max=0.5)
    hits = DROP.model_copy(update={"pt": 0.0, "disagreements": 5, "ci95": (-0.65, 0.65)})
    finer = DROP.model_copy(update={"pt": 0.0, "disagreements": 800, "ci95": (-0.65, 0.65)})
    assert "about 1,570 evaluation samples" in one(gate, accuracy_drop=hits).message
    assert "about 3,453 evaluation samples" in one(gate, accuracy_drop=finer).message


def test_the_samples_that_would_decide_follow_from_the_width():
    """1.36 [1.31, 1.42] against 1.34: half-width 0.05, distance 0.02, so 6.25 times the 30 rounds."""
    near = one(Gate(metric="speedup.median", min=1.34))
    assert "about 188 rounds would decide it (there are 30)" in near.message
    unknown = one(Gate(metric="speedup.median", min=1.34), sampling=None)
    assert "a run about 6.2 times as long would decide it" in unknown.message
    assert "no run of reasonable length decides it" in one(Gate(metric="speedup.median", min=1.3601)).message
