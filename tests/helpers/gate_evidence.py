"""A report to judge: known figures of one final model against two references."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from mlopt.results.figures import Accuracy, AccuracyDrop, Fidelity, Latency, Sampling, Speedup
from mlopt.results.report import CandidateRecord, Cpu, Environment, Report, StepRecord

LATENCY = Latency(
    p50=10.0, p90=11.0, p95=12.0, p99=15.0, p999=None, mean=10.2, n=1000,
    ci95={"p50": (9.8, 10.2), "p90": (10.8, 11.3), "p95": (11.6, 12.5), "p99": (14.0, 18.0), "mean": (10.0, 10.4)},
    reasons={"p999": "n = 1000, and p99.9 takes at least 2995 samples"},
)  # fmt: skip
ACCURACY = Accuracy(metric="accuracy", value=0.98, n=1000, ci95=(0.969, 0.987))
FIDELITY = Fidelity(
    cosine=0.998, sqnr_db=26.5, max_abs=0.4, n=256, shift=0.01, worst_part=0.1, part="sample 3 of output 'y'"
)
DROP = AccuracyDrop(pt=0.1, ci95=(-0.3, 0.62), n=1000, disagreements=11, vs="onnx_fp32")
SPEEDUP = Speedup(median=1.36, ci95=(1.31, 1.42), vs="onnx_fp32", noise_floor=0.06, control=(0.97, 1.06))
SAMPLING = Sampling(rounds=30, looks=2, looks_planned=3, stopped="decided", seconds=40.0)
ENVIRONMENT = Environment(
    cpu=Cpu(model="AMD EPYC 7763", isa=("avx2", "fma"), cores=2), gpu=None, os="Linux", python="3.11.7",
    packages={"onnxruntime": "1.32.0"}, mlopt="0.2.0",
)  # fmt: skip
STEP = StepRecord(
    name="simplify", version=1, config={}, status="applied", reason=None, seconds=1.0, peak_rss_bytes=None,
    size_bytes=4_300_000, parity=None, latency_ms=None, accuracy=None,
)  # fmt: skip
DATA = {"evaluation": {"source": "digits.npz", "samples": 1000, "digest": "e" * 64}}


def candidate(name: str, **changes: Any) -> CandidateRecord:
    figures: dict[str, Any] = {
        "latency_ms": LATENCY, "throughput_per_s": 98.0, "size_bytes": 4_300_000, "peak_rss_bytes": 210_000_000,
        "accuracy": ACCURACY, "fidelity": FIDELITY, "options": {}, "batch_size": 1,
        "digest": sha256(name.encode()).hexdigest(), "runtime": "onnxruntime",
    }  # fmt: skip
    return CandidateRecord(name=name, raw="samples.json", **(figures | changes))


def report(final: dict[str, Any] | None = None, **changes: Any) -> Report:
    """Return the report; ``final`` changes figures of the final model, the rest are parts of the report."""
    baseline = candidate("onnx_fp32", fidelity=None)
    parts: dict[str, Any] = {
        "name": "digits", "created": "2026-11-23T14:20:11Z", "objective": "latency", "verdict": "pass",
        "environment": ENVIRONMENT,
        "baseline": baseline, "references": {"onnx_fp32": baseline}, "final": candidate("final", **(final or {})),
        "speedup": SPEEDUP, "accuracy_drop": DROP, "steps": (), "gates": (), "data": DATA,
        "sampling": SAMPLING,
        "speedups": {
            "onnx_fp32": SPEEDUP,
            "torch_eager": SPEEDUP.model_copy(update={"median": 3.0, "ci95": (2.8, 3.2), "vs": "torch_eager"}),
        },
    }  # fmt: skip
    return Report(**(parts | changes))
