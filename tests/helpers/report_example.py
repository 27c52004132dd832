"""A report with a bit of everything: steps of every status, a percentile that is not given, gates of every verdict.

A sweep, operators, samples that differ and a lost candidate are in it too.
"""

from __future__ import annotations

import math
from functools import cache
from hashlib import sha256
from statistics import NormalDist
from typing import Any

from mlopt.results.figures import (
    Accuracy,
    AccuracyDrop,
    ColdStart,
    Disagreement,
    Fidelity,
    Latency,
    OperatorTime,
    Parity,
    Sampling,
    Speedup,
    SweepPoint,
)
from mlopt.results.report import CandidateRecord, Cpu, Environment, GateVerdict, Report, StepRecord
from mlopt.results.section import Interval

P999_REASON = "p99.9 needs 2,995 samples, 1,200 were taken"
N = 1200
SPREAD = {
    "torch_eager": (2.86, 0.11),
    "onnx_fp32": (1.412, 0.05),
    "final": (0.793, 0.045),
    "onnx_fp32 (again)": (1.42, 0.05),
}
"""Median in milliseconds and relative spread of each candidate."""


@cache
def example_samples() -> dict[str, list[list[float]]]:
    """Return 20 blocks of 60 calls per candidate: skewed, and every 40th call slow."""
    return {name: _blocks(median, spread) for name, (median, spread) in SPREAD.items()}


def example_report(**changes: Any) -> Report:
    """Return the report of a run in which INT8 paid off; ``changes`` replace top-level parts."""
    return _report().model_copy(update=changes)


@cache
def _report() -> Report:
    torch = _candidate("torch_eager", "torch", 441_344, 412_000_000, None)
    onnx = _candidate(
        "onnx_fp32", "onnxruntime", 436_112, 96_400_000, Fidelity(cosine=1.0, sqnr_db=118.2, max_abs=4.2e-6, n=256)
    )
    final = _candidate(
        "final", "onnxruntime", 134_208, 91_200_000, Fidelity(cosine=0.99871, sqnr_db=26.4, max_abs=0.41, n=256)
    )
    control = {"noise_floor": 0.031, "control": (0.9871, 1.0312)}
    against_onnx = Speedup(median=1.78, ci95=(1.71, 1.86), vs="onnx_fp32", **control)
    return Report(
        name="mnist_cnn",
        created="2026-11-23T14:20:11Z",
        objective="latency",
        verdict="fail",
        environment=Environment(
            cpu=Cpu(model="AMD EPYC 7R13 Processor", isa=("avx", "f16c", "fma", "avx2"), cores=2),
            gpu=None,
            os="Linux 6.1.0-18-amd64",
            python="3.11.2",
            packages={"onnx": "1.23.2", "onnxruntime": "1.32.0", "onnxsim": "0.8.1", "torch": "2.13.0"},
            mlopt="0.1.0",
        ),
        baseline=onnx,
        references={"torch_eager": torch, "onnx_fp32": onnx},
        final=final,
        speedup=against_onnx,
        speedups={
            "torch_eager": Speedup(median=3.61, ci95=(3.35, 3.88), vs="torch_eager", **control),
            "onnx_fp32": against_onnx,
        },
        accuracy_drop=AccuracyDrop(
            pt=0.07, ci95=(-0.21, 0.35), n=1500, disagreements=5, vs="onnx_fp32", lost=3, gained=2
        ),
        steps=_steps(),
        gates=_gates(),
        data={
            "calibration": {"source": "./mnist_cnn.py:calibration", "samples": 256, "digest": "sha256:" + "4e" * 32},
            "evaluation": {"source": "./mnist_cnn.py:evaluation", "samples": 1500, "digest": "sha256:" + "b7" * 32},
        },
        notes=("The machine was busy: the A/A control came out at 3.1 %.",),
        sampling=Sampling(
            rounds=30,
            looks=2,
            looks_planned=3,
            stopped="time",
            seconds=94.2,
            lost={"openvino": "its worker did not answer for 60 s and was ended"},
        ),
        sweep=_sweep(),
        operators=_operators(),
        differing=(
            Disagreement(sample=118, label="3", reference="3", final="5"),
            Disagreement(sample=321, label="9", reference="4", final="9"),
            Disagreement(sample=956, label="7", reference="7", final="1"),
            Disagreement(sample=1290, label="2", reference="2", final="7"),
        ),
    )


EXAMPLE_RECIPE = """\
apiVersion: mlopt/v1
name: mnist_cnn
model:
  source: ./mnist_cnn.py:build
  inputs: {image: {dtype: float32, shape: [batch, 1, 28, 28]}}
target: {runtime: onnxruntime, device: cpu, threads: 2, batch_size: 1}
passes:
  - export: {opset: 20}
  - simplify
  - quantize: {mode: static, scheme: auto, optional: true}
  - fuse
gates:
  - {metric: accuracy.drop_pt, max: 0.3}
  - {metric: speedup.median, min: 1.2, vs: onnx_fp32}
"""


def _blocks(median: float, spread: float) -> list[list[float]]:
    normal = NormalDist()
    quantiles = [normal.inv_cdf((index + 0.5) / N) for index in range(N)]
    values = [median * math.exp(spread * z + 0.4 * spread * max(0.0, z) ** 2) for z in quantiles]
    values = [value * (1.6 if index % 40 == 39 else 1.0) for index, value in enumerate(values)]
    return [[round(value, 5) for value in values[start::20]] for start in range(20)]


def _latency(name: str) -> Latency:
    values = sorted(value for block in example_samples()[name] for value in block)
    given = {
        key: values[round(share * (N - 1))] for key, share in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99))
    }
    return _made(given, sum(values) / N, N)


def _around(p50: float) -> Latency:
    given = {"p50": p50, "p90": p50 * 1.07, "p95": p50 * 1.1, "p99": p50 * 1.3}
    return _made(given, p50 * 1.02, N)


def _made(given: dict[str, float], mean: float, n: int) -> Latency:
    rounded = {key: round(value, 4) for key, value in given.items()}
    ci95 = {key: _near(value, 0.012) for key, value in {**rounded, "mean": mean}.items()}
    return Latency(**rounded, p999=None, mean=round(mean, 4), n=n, ci95=ci95, reasons={"p999": P999_REASON})


def _near(value: float, share: float) -> Interval:
    return round(value * (1 - share), 4), round(value * (1 + share), 4)


def _accuracy(value: float) -> Accuracy:
    return Accuracy(metric="accuracy", value=value, n=1500, ci95=(round(value - 0.0072, 4), round(value + 0.0051, 4)))


def _candidate(name: str, runtime: str, size: int, rss: int, fidelity: Fidelity | None) -> CandidateRecord:
    latency = _latency(name)
    return CandidateRecord(
        name=name,
        runtime=runtime,
        options={"threads": 2, "device": "cpu", "graph_optimization": "all"},
        digest="sha256:" + sha256(name.encode()).hexdigest(),
        latency_ms=latency,
        throughput_per_s=round(1000 / latency.mean, 2),
        size_bytes=size,
        peak_rss_bytes=rss,
        accuracy=_accuracy(0.984 if name == "final" else 0.9847),
        fidelity=fidelity,
        raw="samples.json",
        batch_size=1,
        cold_start=ColdStart(load_ms=14.2, first_ms=2.31) if runtime == "onnxruntime" else None,
        macs=1_192_064,
    )


def _sweep() -> tuple[SweepPoint, ...]:
    """Return batches of 1 to 64: the final model stays ahead, by less as the batch grows."""
    medians = {
        "onnx_fp32": {1: 1.41, 4: 2.35, 16: 7.1, 64: 27.4},
        "final": {1: 0.794, 4: 1.46, 16: 5.02, 64: 20.6},
    }
    return tuple(
        SweepPoint(
            name=name,
            batch_size=batch,
            threads=2,
            concurrency=1,
            latency_ms=_around(p50),
            throughput_per_s=round(1000 * batch / p50 / 1.02, 2),
        )
        for name, one in medians.items()
        for batch, p50 in one.items()
    )


def _operators() -> dict[str, tuple[OperatorTime, ...]]:
    before = {
        "Conv": (4, 0.961), "Gemm": (2, 0.214), "MaxPool": (2, 0.131), "Relu": (5, 0.052), "Reshape": (1, 0.004),
    }  # fmt: skip
    after = {
        "QLinearConv": (4, 0.412), "QGemm": (2, 0.097), "MaxPool": (2, 0.083), "QuantizeLinear": (1, 0.031),
        "DequantizeLinear": (1, 0.022), "Reshape": (1, 0.004), "Cast": (1, 0.003), "Identity": (2, 0.002),
    }  # fmt: skip
    return {
        name: tuple(OperatorTime(op_type=kind, nodes=nodes, ms=ms) for kind, (nodes, ms) in one.items())
        for name, one in (("onnx_fp32", before), ("final", after))
    }


def _steps() -> tuple[StepRecord, ...]:
    equal = Parity(max_abs=0.0, sqnr_db=None, cosine=1.0)
    near = Parity(max_abs=4.2e-6, sqnr_db=118.2, cosine=1.0)
    quantized = Parity(max_abs=0.41, sqnr_db=26.4, cosine=0.99871)
    poor = Parity(max_abs=1.72, sqnr_db=14.8, cosine=0.9846)
    static = {"mode": "static", "scheme": "auto", "optional": True}
    found = {
        "scheme": "u8s8", "reduce_range": True, "nodes quantized": 8, "nodes quantizable": 9,
        "search": example_search(), "left_alone": {"conv_1": "slower in INT8: 0.31 ms against 0.22 ms in FP32"},
    }  # fmt: skip
    return (
        _step("export", "cached", {"opset": 20}, (436_112, 1.42, 0.9847), parity=near),
        _step("simplify", "applied", {}, (431_020, 1.40, 0.9847), parity=equal),
        _step("fp16", "refused", {}, reason="FP16 on x86 ORT is computed in FP32: half the size, no faster"),
        _step(
            "quantize",
            "dropped",
            {"mode": "dynamic", "optional": True},
            (128_400, 2.31, 0.9787),
            reason="latency rose from 1.40 ms to 2.31 ms, and the objective is latency",
            parity=poor,
        ),
        _step("quantize", "applied", static, (133_950, 0.84, 0.984), "another calibration set", quantized, found),
        _step("fuse", "applied", {}, (134_208, 0.79, 0.984), parity=equal, notes={"fusions": {"QDQPropagation": 3}}),
        _step("acme.prune", "failed", {"ratio": 0.5}, reason="the worker was killed by signal 11; see repro/"),
    )


def example_search() -> dict[str, Any]:
    """Return the note of a search that tried two sets of layers, and kept the second."""
    common = {"mode": "static", "cosine": 0.99871, "sqnr_db": 26.4}
    return {
        "seconds": {"timing layers": 4.2, "judging": 1.6, "measuring against FP32": 12.4},
        "modes": {"static": "of 1.4 ms in FP32 it should save 0.52 ms", "dynamic": "its layers take little time"},
        "front": [
            {**common, "layers": 9, "metric": 0.94, "objection": "agreement 0.9400 is below 0.95", "speedup": None},
            {
                **common, "layers": 8, "metric": 0.97, "objection": None, "speedup": [1.66, 1.58, 1.74],
                "size_bytes": 133_950,
            },
        ],
        "layers": {
            "static": {
                "conv_1": {"fp32_ms": 0.22, "ms": 0.31},
                "conv_2": {"fp32_ms": 0.61, "ms": 0.3, "alone_sqnr_db": 35.8},
            }
        },
        "chosen": 1,
        "judged_on": 85,
    }  # fmt: skip


def _step(
    name: str,
    status: Any,
    config: dict[str, Any],
    measured: tuple[int, float, float] | None = None,
    reason: str | None = None,
    parity: Parity | None = None,
    notes: dict[str, Any] | None = None,
) -> StepRecord:
    """``measured`` is size in bytes, median in milliseconds, accuracy."""
    return StepRecord(
        name=name,
        version=1,
        config=config,
        status=status,
        reason=reason,
        seconds=None if status == "cached" else 1.84,
        peak_rss_bytes=210_000_000 if measured else None,
        size_bytes=measured[0] if measured else None,
        parity=parity,
        latency_ms=_around(measured[1]) if measured else None,
        accuracy=_accuracy(measured[2]) if measured else None,
        macs=1_192_064 if measured and name != "fuse" else None,
        notes=notes or {},
    )


def _gates() -> tuple[GateVerdict, ...]:
    return (
        GateVerdict(
            metric="accuracy.drop_pt",
            limit="<= 0.3",
            value=0.07,
            ci95=(-0.21, 0.35),
            n=1500,
            verdict="inconclusive",
            message="0.07 pt (-0.21 to 0.35) is too wide for 0.3 pt with n = 1,500: take 2,289 samples",
            found="inconclusive",
            interval=(-0.21, 0.35),
        ),
        GateVerdict(
            metric="speedup.median",
            limit=">= 1.2 vs onnx_fp32",
            value=1.78,
            ci95=(1.71, 1.86),
            n=20,
            verdict="pass",
            message="1.78x (1.69 to 1.88) is above 1.2x",
            found="pass",
            confidence=0.99,
            interval=(1.69, 1.88),
        ),
        GateVerdict(
            metric="speedup.median",
            limit=">= 1.8 vs onnx_fp32",
            value=1.78,
            ci95=(1.71, 1.86),
            n=60,
            verdict="pass",
            message="1.78 [1.71, 1.86], n = 60: the interval straddles the limit of >= 1.8. "
            "Undecided counts as pass here, with a warning (on_inconclusive: warn).",
            found="inconclusive",
            interval=(1.71, 1.86),
            on_inconclusive="warn",
        ),
        GateVerdict(
            metric="latency.p95_ms",
            limit="<= 0.85",
            value=0.9003,
            ci95=(0.8895, 0.9111),
            n=1200,
            verdict="fail",
            message="0.900 ms (0.890 to 0.911) is above 0.85 ms",
            found="fail",
            interval=(0.8895, 0.9111),
        ),
        GateVerdict(
            metric="latency.p99.9_ms",
            limit="<= 2",
            value=None,
            ci95=None,
            n=1200,
            verdict="inconclusive",
            message=P999_REASON,
        ),
    )
