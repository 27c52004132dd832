"""A report of a run that chose among twelve deployables in two runtimes, like one that a text encoder gives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from hashlib import sha256
from random import Random
from typing import Any

from hypothesis import strategies as st
from report_example import example_report

from mlopt.results.figures import Accuracy, Fidelity, Latency, LayerPrecision, Speedup
from mlopt.results.report import CandidateRecord, GateVerdict, Report, Tried
from mlopt.results.roles import FASTEST

ORT = {"threads": 2, "device": "cpu", "graph_optimization": "all"}
OV = {"threads": 2, "device": "cpu", "precision": "exact", "hint": "latency", "streams": 1, "pinning": False}
BF16 = OV | {"precision": "bf16"}
STATIC = BF16 | {"shapes": "static"}
BASE_MS = 6.214
CONTROL: dict[str, Any] = {"noise_floor": 0.021, "control": (0.988, 1.021)}
SLOWER = "slower than what is shipped"

POOR = "fidelity.cosine 0.52 is below 0.99"

ANY = st.floats(allow_nan=False, allow_infinity=False)
FIDELITY = st.builds(Fidelity, cosine=ANY | st.floats(-1, 1), sqnr_db=ANY | st.none(), max_abs=ANY, n=st.just(8))
TRIED = st.builds(
    Tried, model=st.text(max_size=9), digest=st.just(""), runtime=st.sampled_from(["onnxruntime", "openvino", "x"]),
    options=st.just({}), size_bytes=st.just(1), latency_ms=st.none() | ANY | st.floats(0.1, 9), speedup=st.none() | ANY,
    fidelity=st.none() | FIDELITY, valid=st.none() | st.booleans(), why_not=st.none() | st.text(max_size=9),
)  # fmt: skip

"""Anything that a stranger's report may say was tried."""


@dataclass(frozen=True)
class Look:
    """What was found of one deployable; ``ms`` and ``cosine`` are None where it did not come so far."""

    model: str
    runtime: str
    options: dict[str, Any]
    ms: float | None
    cosine: float | None
    why_not: str | None
    valid: bool | None = True
    score: float = 0.9413
    size: int = 90_412_331


LOOKS = (
    Look("source", "onnxruntime", ORT, BASE_MS, 1.0, SLOWER),
    Look("source", "openvino", OV, 2.874, 1.0, SLOWER),
    Look("source", "openvino", STATIC, 2.541, 0.999962, SLOWER),
    Look("after simplify (1)", "onnxruntime", ORT, 6.031, 1.0, SLOWER, size=90_398_004),
    Look("after simplify (1)", "openvino", OV, 2.861, 1.0, SLOWER, size=90_398_004),
    Look("after simplify (1)", "openvino", STATIC, 2.127, 0.99996, None, size=90_398_004),
    Look("after simplify (1)", "openvino", BF16 | {"threads": 1}, 3.94, 0.99996, SLOWER, size=90_398_004),
    Look("after quantize (2)", "onnxruntime", ORT, 3.377, 0.99203, SLOWER, score=0.9347, size=23_102_118),
    Look("after quantize (2)", "openvino", OV, 1.962, 0.51874, POOR, False, 0.3127, 23_102_118),
    Look("after quantize (2)", "openvino", BF16, 1.944, 0.51702, POOR, False, 0.3127, 23_102_118),
    Look("after fuse (3)", "onnxruntime", ORT, 3.102, 0.99203, SLOWER, score=0.9347, size=23_098_730),
    Look(
        "after fuse (3)", "openvino", OV, None, None,
        "OpenVINO does not know operators of this model: com.microsoft.DynamicQuantizeMatMul", False, size=23_098_730,
    ),
)  # fmt: skip


def tried(looks: tuple[Look, ...] = LOOKS, seed: int = 0) -> tuple[Tried, ...]:
    """Return what was found of each, with intervals as wide as a quiet machine gives."""
    random = Random(seed)
    return tuple(_tried(look, random) for look in looks)


def tried_report(**changes: Any) -> Report:
    """Return the report of a run that ships the simplified model in OpenVINO, in bfloat16."""
    report = example_report()
    base = _record("onnx_fp32", LOOKS[0])
    fastest, final = _record(FASTEST, LOOKS[2]), _record("final", LOOKS[5])
    whole = _speedup(BASE_MS / 2.127, "onnx_fp32")
    parts: dict[str, Any] = {
        "name": "sentence_encoder", "baseline": base, "references": {"onnx_fp32": base, FASTEST: fastest},
        "final": final, "speedup": whole, "verdict": "pass", "accuracy_drop": None, "differing": (), "sweep": (),
        "speedups": {"onnx_fp32": whole, FASTEST: _speedup(2.541 / 2.127, FASTEST)},
        "gates": (_gate("fidelity.cosine", ">= 0.99", 0.99996),), "notes": (), "operators": {},
        "tried": tried(), "spent": {"opening and judging": 21.4, "racing": 48.2, "asking the passes": 9.7},
        "layers": {
            "final": (
                LayerPrecision(precision="bf16", layers=41, share=0.873),
                LayerPrecision(precision="f32", layers=12, share=0.118),
                LayerPrecision(precision="i64", layers=3, share=0.009),
            )
        },
        "steps": report.steps[1:2], "sampling": report.sampling.model_copy(update={"lost": {}}),  # type: ignore[union-attr]
    }  # fmt: skip
    return example_report(**(parts | changes))


def without_choice(report: Report) -> Report:
    """Return the report without what a choice adds to it, as an older version would have written it."""
    references = {name: one for name, one in report.references.items() if name != FASTEST}
    speedups = {name: one for name, one in report.speedups.items() if name != FASTEST}
    return report.model_copy(
        update={"references": references, "speedups": speedups, "tried": (), "spent": {}, "layers": {}}
    )


def _tried(look: Look, random: Random) -> Tried:
    speedup = None if look.ms is None else round(BASE_MS / look.ms * math.exp(random.gauss(0, 0.004)), 4)
    width = random.uniform(0.012, 0.03)
    return Tried(
        model=look.model,
        digest=_digest(look),
        runtime=look.runtime,
        options=look.options,
        size_bytes=look.size,
        latency_ms=look.ms,
        speedup=speedup,
        ci95=None if speedup is None else (round(speedup * (1 - width), 4), round(speedup * (1 + width), 4)),
        fidelity=_fidelity(look),
        accuracy=None if look.cosine is None else _accuracy(look.score),
        valid=look.valid,
        unchanged=look.model == "source",
        why_not=look.why_not,
    )


def _digest(look: Look) -> str:
    return "sha256:" + sha256(look.model.encode()).hexdigest()


def _fidelity(look: Look) -> Fidelity | None:
    if look.cosine is None:
        return None
    error = math.sqrt(2 * (1 - look.cosine)) or 3e-7
    return Fidelity(cosine=look.cosine, sqnr_db=round(-20 * math.log10(error), 1), max_abs=round(error, 7), n=500)


def _accuracy(value: float) -> Accuracy:
    return Accuracy(metric="accuracy", value=value, n=500, ci95=(round(value - 0.021, 4), round(value + 0.017, 4)))


def _speedup(median: float, vs: str) -> Speedup:
    return Speedup(median=round(median, 4), ci95=(round(median * 0.981, 4), round(median * 1.018, 4)), vs=vs, **CONTROL)


def _record(name: str, look: Look) -> CandidateRecord:
    assert look.ms is not None
    ends = {"p50": look.ms, "p90": look.ms * 1.06, "p95": look.ms * 1.09, "p99": look.ms * 1.24}
    given = {key: round(value, 4) for key, value in ends.items()}
    latency = Latency(
        **given, p999=None, mean=look.ms * 1.01, n=1200,
        ci95={key: (round(value * 0.99, 4), round(value * 1.01, 4)) for key, value in given.items()},
        reasons={"p999": "p99.9 needs 2,995 samples, 1,200 were taken"},
    )  # fmt: skip
    return example_report().final.model_copy(
        update={
            "name": name, "runtime": look.runtime, "options": look.options, "digest": _digest(look),
            "latency_ms": latency, "throughput_per_s": 1000 / latency.mean, "size_bytes": look.size,
            "accuracy": _accuracy(look.score), "fidelity": _fidelity(look),
        }
    )  # fmt: skip


def _gate(metric: str, limit: str, value: float) -> GateVerdict:
    return GateVerdict(
        metric=metric, limit=limit, value=value, ci95=None, n=500, verdict="pass", found="pass",
        message=f"{value} keeps {limit}",
    )  # fmt: skip
