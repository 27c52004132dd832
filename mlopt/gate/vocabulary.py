"""Every name that a gate may use, and what helps when its figure is not what was wanted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

_LONGER = "measure longer (`measure.seconds` and `measure.max_time`; `mlopt bench --max-time`), or on a quieter machine"
_SAMPLES = "evaluate on more samples"
_FASTER = "another runtime (`--runtime`), a lossy step such as `quantize`, or a smaller model"
_MILDER = "a milder lossy step (more calibration samples, sensitive nodes left out), or none"
_UNSCALED = "leave out the step that changed the outputs' scale or offset (`mlopt bisect RECIPE` names its nodes)"
_SMALLER = "quantized weights, or a smaller model"
_MORE_LOAD = "put the load on for longer (`mlopt loadtest --seconds`), or measure on a quieter machine"
_SERVER = "larger batches, more threads or replicas, or a faster model"
SERVING = "serving."
"""How the names of what only a server under load shows begin: a load test answers them, never the report of a model."""


@dataclass(frozen=True)
class GateMetric:
    """One name; ``mlopt.gate.readings`` has how it is read from a report."""

    when_broken: str
    when_undecided: str = ""
    takes_vs: bool = False
    of_speed: bool = False
    """Whether more measuring can decide it."""


METRICS: Mapping[str, GateMetric] = {
    "latency.p50_ms": GateMetric(_FASTER, _LONGER, of_speed=True),
    "latency.p90_ms": GateMetric(_FASTER, _LONGER, of_speed=True),
    "latency.p95_ms": GateMetric(_FASTER, _LONGER, of_speed=True),
    "latency.p99_ms": GateMetric(_FASTER, _LONGER, of_speed=True),
    "latency.p99.9_ms": GateMetric(_FASTER, _LONGER, of_speed=True),
    "latency.mean_ms": GateMetric(_FASTER, _LONGER, of_speed=True),
    "throughput_per_s": GateMetric(_FASTER, _LONGER, of_speed=True),
    "speedup.median": GateMetric(_FASTER, _LONGER, takes_vs=True, of_speed=True),
    "cold_start.load_ms": GateMetric(_SMALLER),
    "cold_start.first_ms": GateMetric(_FASTER),
    "size_mb": GateMetric(_SMALLER),
    "size.ratio": GateMetric(_SMALLER, takes_vs=True),
    "peak_rss_mb": GateMetric(_SMALLER),
    "peak_rss.ratio": GateMetric(_SMALLER, takes_vs=True),
    "accuracy.value": GateMetric(_MILDER, _SAMPLES),
    "accuracy.drop_pt": GateMetric(_MILDER, _SAMPLES, takes_vs=True),
    "fidelity.cosine": GateMetric(_MILDER),
    "fidelity.sqnr_db": GateMetric(_MILDER),
    "fidelity.relative_error": GateMetric(_MILDER),
    "fidelity.shift": GateMetric(_UNSCALED),
    "fidelity.worst_part": GateMetric(_MILDER),
    "fidelity.max_abs": GateMetric(_MILDER),
    "fidelity.matched": GateMetric(_MILDER),
    "serving.p50_ms": GateMetric(_SERVER, _MORE_LOAD, of_speed=True),
    "serving.p95_ms": GateMetric(_SERVER, _MORE_LOAD, of_speed=True),
    "serving.p99_ms": GateMetric(_SERVER, _MORE_LOAD, of_speed=True),
    "serving.rps_at_slo": GateMetric(_SERVER, _MORE_LOAD, of_speed=True),
    "serving.error_rate": GateMetric("what the errors by kind say", _MORE_LOAD, of_speed=True),
    "serving.utilization": GateMetric(_SERVER, _MORE_LOAD, of_speed=True),
    "run.quick": GateMetric("a run without --quick"),
}
"""In the order in which they are listed to people."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Word a hint: the nearest of the known names, or all of them."""
    names = list(known)
    near = get_close_matches(name, names, 1)
    return f"did you mean '{near[0]}'?" if near else f"choose one of {', '.join(names)}"
