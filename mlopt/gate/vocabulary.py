"""Every name that a gate may use, and what helps when its figure is not what was wanted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

_LONGER = "measure longer (`measure.seconds` and `measure.max_time`; `mlopt bench --max-time`), or on a quieter machine"
_SAMPLES = "evaluate on more samples"
_FASTER = "a faster model"
_MILDER = "a milder lossy step (more calibration samples, sensitive nodes left out), or none"
_UNSCALED = "leave out the step that changed the outputs' scale or offset (`mlopt bisect RECIPE` names its nodes)"
_SMALLER = "quantized weights, or a smaller model"


@dataclass(frozen=True)
class Metric:
    """One name; ``mlopt.gate.readings`` has how it is read from a report."""

    when_broken: str
    when_undecided: str = ""
    takes_vs: bool = False
    of_speed: bool = False
    """Whether more measuring can decide it."""


METRICS: Mapping[str, Metric] = {
    "latency.p50_ms": Metric(_FASTER, _LONGER, of_speed=True),
    "latency.p90_ms": Metric(_FASTER, _LONGER, of_speed=True),
    "latency.p95_ms": Metric(_FASTER, _LONGER, of_speed=True),
    "latency.p99_ms": Metric(_FASTER, _LONGER, of_speed=True),
    "latency.p99.9_ms": Metric(_FASTER, _LONGER, of_speed=True),
    "latency.mean_ms": Metric(_FASTER, _LONGER, of_speed=True),
    "throughput_per_s": Metric(_FASTER, _LONGER, of_speed=True),
    "speedup.median": Metric(_FASTER, _LONGER, takes_vs=True, of_speed=True),
    "cold_start.load_ms": Metric(_SMALLER),
    "cold_start.first_ms": Metric(_FASTER),
    "size_mb": Metric(_SMALLER),
    "size.ratio": Metric(_SMALLER, takes_vs=True),
    "peak_rss_mb": Metric(_SMALLER),
    "peak_rss.ratio": Metric(_SMALLER, takes_vs=True),
    "accuracy.value": Metric(_MILDER, _SAMPLES),
    "accuracy.drop_pt": Metric(_MILDER, _SAMPLES, takes_vs=True),
    "fidelity.cosine": Metric(_MILDER),
    "fidelity.sqnr_db": Metric(_MILDER),
    "fidelity.relative_error": Metric(_MILDER),
    "fidelity.shift": Metric(_UNSCALED),
    "fidelity.worst_part": Metric(_MILDER),
    "fidelity.max_abs": Metric(_MILDER),
    "fidelity.matched": Metric(_MILDER),
}
"""In the order in which they are listed to people."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Word a hint: the nearest of the known names, or all of them."""
    names = list(known)
    near = get_close_matches(name, names, 1)
    return f"did you mean '{near[0]}'?" if near else f"choose one of {', '.join(names)}"
