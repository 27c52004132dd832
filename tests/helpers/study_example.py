"""A study of forty-four trials, like one that tunes a text encoder on two runtimes for twenty minutes gives."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from report_example import example_report

from mlopt.report.study.analysis import front, worth
from mlopt.report.study.importance import importance
from mlopt.results.figures import Accuracy, Fidelity
from mlopt.results.study import Ended, SearchParameter, StudyRecord, TrialRecord

BASE_MS = 6.21
SPACE = (
    SearchParameter(name="passes.simplify", values=(True, False), default=True),
    SearchParameter(name="passes.quantize", values=(True, False), default=True),
    SearchParameter(
        name="passes.quantize.mode", values=("dynamic", "static", "weight_only"), default="dynamic",
        when={"passes.quantize": (True,)},
    ),
    SearchParameter(
        name="passes.quantize.per_channel", values=(True, False), default=False, when={"passes.quantize": (True,)}
    ),
    SearchParameter(name="passes.fuse", values=(True, False), default=True),
    SearchParameter(name="runtime", values=("onnxruntime", "openvino"), default="onnxruntime"),
    SearchParameter(
        name="session.graph_optimization", values=("all", "extended"), default="all",
        when={"runtime": ("onnxruntime",)},
    ),
    SearchParameter(
        name="session.precision", values=("exact", "bf16"), default="exact", when={"runtime": ("openvino",)}
    ),
    SearchParameter(name="session.threads", values=(1, 2), default=2),
)  # fmt: skip
RECIPE: dict[str, Any] = {one.name: one.default for one in SPACE}
FIXED: dict[int, dict[str, Any]] = {
    0: {}, 1: {"passes.quantize": False}, 2: {"passes.quantize": False, "runtime": "openvino"},
    3: {"passes.quantize.mode": "static", "runtime": "openvino"},
    19: {"passes.quantize": False, "runtime": "openvino", "session.precision": "bf16"},
    23: {"passes.quantize": False, "runtime": "openvino", "session.precision": "bf16", "passes.fuse": False},
    31: {"passes.quantize": False, "runtime": "openvino", "session.precision": "bf16", "passes.simplify": False},
}  # fmt: skip
UNKNOWN = "OpenVINO does not know operators of this model: com.microsoft.DynamicQuantizeMatMul"
BEST_RECIPE = """\
apiVersion: mlopt/v1
name: sentence_encoder
model: {source: ./sentence_encoder.onnx}
data:
  evaluation: {source: ./evaluation.npz}
metric: {name: accuracy}
target: {runtime: openvino, device: cpu, threads: 2, batch_size: 1, options: {openvino: {precision: bf16}}}
passes:
  - simplify
  - fuse
gates:
  - {metric: accuracy.drop_pt, max: 0.5}
"""


def example_study(**changes: Any) -> StudyRecord:
    trials = changes.pop("trials", example_trials())
    valid = sorted((one for one in trials if one.valid), key=lambda one: one.latency_ms or 0.0)
    best = valid[0].number if valid else None
    parts: dict[str, Any] = {
        "name": "sentence_encoder", "recipe_digest": "sha256:" + "7d" * 32, "objective": "latency", "budget_s": 1200.0,
        "seed": 0, "environment": example_report().environment, "space": SPACE, "points": 272, "trials": trials,
        "front": front(trials), "best": best, "final_speedup": 2.034, "final_ci95": (1.992, 2.071),
        "importance": importance(trials, SPACE), "worth": worth(trials, best), "recipe": BEST_RECIPE,
        "ended": Ended(why="budget", seconds=1187.4, resumed=0),
    }  # fmt: skip
    return StudyRecord(**(parts | changes))


def example_trials(seed: int = 0, count: int = 44) -> tuple[TrialRecord, ...]:
    random, clock = Random(seed), 4.0
    found: list[TrialRecord] = []
    seen: set[str] = set()
    for _ in range(50 * count):
        params = _point(len(found), random)
        if repr(params) not in seen or len(found) in FIXED:
            seen.add(repr(params))
            found.append(_trial(len(found), params, clock, random))
            clock += found[-1].seconds + random.uniform(0.1, 0.8)
        if len(found) == count:
            break
    return tuple(found)


def _point(number: int, random: Random) -> dict[str, Any]:
    """The recipe's own chain, then what priors propose, then what a search comes to, ever closer to the best."""
    chosen = FIXED.get(number)
    if chosen is None:
        towards: dict[str, Any] = {"runtime": "openvino", "session.precision": "bf16", "passes.quantize": False}
        chosen = {
            one.name: towards[one.name]
            if one.name in towards and random.random() < number / 90
            else random.choice(one.values)
            for one in SPACE
        }
    full = RECIPE | chosen
    return {one.name: full[one.name] for one in SPACE if all(full[key] in of for key, of in one.when.items())}


def _trial(number: int, params: dict[str, Any], began: float, random: Random) -> TrialRecord:
    origin = "recipe" if number == 0 else "prior" if number < 4 else "earlier study" if number < 7 else "search"
    common: dict[str, Any] = {
        "number": number, "params": params, "origin": origin, "began_s": round(began, 2), "node": "local",
        "digest": f"sha256:{number:064x}", "runtime": params["runtime"],
        "options": {key.removeprefix("session."): value for key, value in params.items() if key.startswith("session.")},
    }  # fmt: skip
    quantized, openvino = bool(params.get("passes.quantize")), params["runtime"] == "openvino"
    size = 90_412_331 if not quantized else 23_102_118 + random.randint(0, 60_000)
    if quantized and openvino and params["passes.quantize.mode"] == "dynamic" and params["passes.fuse"]:
        return TrialRecord(status="failed", cause=UNKNOWN, rung=0, seconds=3.2, **common)
    if quantized and params["passes.quantize.mode"] == "static" and not params["passes.quantize.per_channel"]:
        cause = "fidelity.cosine 0.52 is below 0.99, on 64 samples"
        fidelity = _fidelity(0.52, 64)
        return TrialRecord(
            status="stopped", cause=cause, rung=1, seconds=9.1, size_bytes=size, fidelity=fidelity, **common
        )
    ms = _latency(params, random)
    speedup = round(BASE_MS / ms * math.exp(random.gauss(0, 0.003)), 4)
    lost = 0.002 * (params.get("session.precision") == "bf16") * (params["passes.simplify"] + 1)
    if quantized:
        lost += {"dynamic": 0.006, "static": 0.004, "weight_only": 0.002}[params["passes.quantize.mode"]]
        lost += 0.0 if params["passes.quantize.per_channel"] else 0.002
    score = round(0.942 - lost, 4)
    drop = round(100 * (0.942 - score), 2)
    return TrialRecord(
        status="measured", rung=2, seconds=round(24 + 6 * random.random(), 2), size_bytes=size,
        latency_ms=ms, speedup=speedup, ci95=(round(speedup * 0.984, 4), round(speedup * 1.015, 4)),
        peak_rss_bytes=312_000_000 + (80_000_000 if openvino else 0) - (50_000_000 if quantized else 0),
        accuracy=Accuracy(metric="accuracy", value=score, n=500, ci95=(score - 0.021, score + 0.017)),
        fidelity=_fidelity(0.9921 if quantized else 0.99996, 500), valid=drop <= 0.9,
        why_not=None if drop <= 0.9 else f"accuracy.drop_pt {drop} is above 0.9", **common,
    )  # fmt: skip


def _latency(params: dict[str, Any], random: Random) -> float:
    factors: dict[str, dict[Any, float]] = {
        "passes.simplify": {False: 1.05}, "passes.quantize": {True: 0.72}, "passes.fuse": {False: 1.09},
        "runtime": {"openvino": 0.47}, "session.precision": {"bf16": 0.75}, "session.threads": {1: 1.62},
        "passes.quantize.mode": {"weight_only": 1.5, "static": 0.94}, "session.graph_optimization": {"extended": 1.03},
    }  # fmt: skip
    ms = BASE_MS * math.exp(random.gauss(0, 0.008))
    for name, value in params.items():
        ms *= factors.get(name, {}).get(value, 1.0)
    if params["runtime"] == "openvino" and params.get("passes.quantize"):
        ms *= 1.45
    return round(ms, 4)


def _fidelity(cosine: float, samples: int) -> Fidelity:
    error = math.sqrt(2 * (1 - cosine))
    return Fidelity(cosine=cosine, sqnr_db=round(-20 * math.log10(error), 1), max_abs=round(error, 5), n=samples)


def raced(number: int, **changes: Any) -> TrialRecord:
    """Return a trial that was measured and is valid; ``accuracy`` and ``fidelity`` may be plain numbers."""
    score, cosine = changes.pop("accuracy", None), changes.pop("fidelity", None)
    parts: dict[str, Any] = {
        "number": number, "params": {}, "origin": "search", "status": "measured", "rung": 2, "began_s": 1.0 * number,
        "seconds": 1.0, "node": "local", "valid": True,
        "accuracy": None if score is None else Accuracy(metric="accuracy", value=score, n=9, ci95=(0.0, 1.0)),
        "fidelity": None if cosine is None else Fidelity(cosine=cosine, sqnr_db=None, max_abs=0.0, n=9),
    }  # fmt: skip
    return TrialRecord(**(parts | changes))
