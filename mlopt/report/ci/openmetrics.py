"""OpenMetrics text, for GitLab's ``artifacts:reports:metrics`` and for Prometheus.

Source: the OpenMetrics 1.0 specification: base units (seconds, bytes, ratios), a family for each figure, ``# EOF`` at
the end. GitLab's reader (``parsers/metrics/generic.rb``) cuts a line at ``#`` and takes the rest apart as a shell
would, so labels hold no ``#``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from mlopt.core.foreign_text import plain
from mlopt.report.ci import QUANTILES, candidates, finite
from mlopt.results.figures import Speedup
from mlopt.results.report import CandidateRecord, Report
from mlopt.results.section import Verdict

STATES: Mapping[Verdict, int] = {"pass": 0, "inconclusive": 1, "fail": 2}
"""A verdict as a number: the larger, the worse."""

Labels = dict[str, str]
Sample = tuple[str, Labels, float | None]
"""The ending of the name, the labels, and the value, if there is one."""


@dataclass(frozen=True)
class Family:
    """A figure, with everything that it was measured for."""

    name: str
    unit: str
    """Empty where the specification has none; else the name ends in it."""
    help: str
    samples: Iterable[Sample]
    type: str = "gauge"


_OF_A_MODEL: tuple[tuple[str, str, str, Callable[[CandidateRecord], float | None]], ...] = (
    ("mlopt_throughput_samples_per_second", "", "Samples in a second.", lambda one: one.throughput_per_s),
    ("mlopt_model_size_bytes", "bytes", "The model on disk.", lambda one: one.size_bytes),
    ("mlopt_peak_memory_bytes", "bytes", "The most that its process held.", lambda one: one.peak_rss_bytes),
)
_OF_A_SPEEDUP: tuple[tuple[str, str, Callable[[Speedup], float]], ...] = (
    ("mlopt_speedup_ratio", "How many times faster the final model is than `vs`.", lambda one: one.median),
    ("mlopt_speedup_low_ratio", "The low end of its 95 % interval.", lambda one: one.ci95[0]),
    ("mlopt_speedup_high_ratio", "The high end of its 95 % interval.", lambda one: one.ci95[1]),
    ("mlopt_noise_floor_ratio", "What two copies of one model differed by in this run.", lambda one: one.noise_floor),
)


def render(report: Report) -> str:
    """Return the exposition; a family without a figure is left out."""
    families = (*_models(report), *_comparisons(report), *_verdicts(report))
    return "".join(f"{line}\n" for line in (*(line for family in families for line in _write(family)), "# EOF"))


def _models(report: Report) -> Iterator[Family]:
    models = [({"model": report.name, "candidate": name}, one) for name, one in candidates(report).items()]
    latency = [sample for labels, one in models for sample in _latency(labels, one)]
    yield Family("mlopt_latency_seconds", "seconds", "Wall time of one inference.", latency, "summary")
    for name, unit, words, read in _OF_A_MODEL:
        yield Family(name, unit, words, [("", labels, finite(read(one))) for labels, one in models])
    cosines = [("", labels, one.fidelity.cosine) for labels, one in models if one.fidelity]
    yield Family("mlopt_fidelity_cosine", "", "Cosine similarity of the outputs to the source model's.", cosines)
    scores = [
        ("", {**labels, "metric": one.accuracy.metric}, one.accuracy.value) for labels, one in models if one.accuracy
    ]
    yield Family("mlopt_accuracy", "", "The recipe's metric on the evaluation samples.", scores)


def _latency(labels: Labels, one: CandidateRecord) -> Iterator[Sample]:
    found = one.latency_ms
    for key, share in QUANTILES.items():
        yield "", {**labels, "quantile": share}, finite(getattr(found, key), 1e-3)
    yield "_count", labels, finite(found.n)
    yield "_sum", labels, finite(finite(found.n), found.mean / 1e3)


def _comparisons(report: Report) -> Iterator[Family]:
    for name, words, ratio in _OF_A_SPEEDUP:
        samples = [("", {"model": report.name, "vs": vs}, ratio(one)) for vs, one in report.speedups.items()]
        yield Family(name, "ratio", words, samples)
    drop = report.accuracy_drop
    if drop is not None:
        words = "What the metric lost against `vs`, in the metric's own unit: 0.01 is one point."
        sample = ("", {"model": report.name, "vs": drop.vs}, finite(drop.pt, 1e-2))
        yield Family("mlopt_accuracy_drop", "", words, [sample])


def _verdicts(report: Report) -> Iterator[Family]:
    states = ", ".join(f"{state} {verdict}" for verdict, state in STATES.items())
    worst_last = sorted(report.gates, key=lambda gate: STATES[gate.verdict])
    gates: list[Sample] = [
        ("", {"model": report.name, "metric": gate.metric, "limit": gate.limit}, STATES[gate.verdict])
        for gate in worst_last
    ]
    yield Family("mlopt_gate_state", "", f"One gate: {states}.", gates)
    yield Family(
        "mlopt_verdict_state", "", f"All gates: {states}.", [("", {"model": report.name}, STATES[report.verdict])]
    )


def _write(family: Family) -> Iterator[str]:
    """Yield a family's lines; of two samples with the same labels the last one stands."""
    found = {f"{ending}{_labels(labels)}": value for ending, labels, value in family.samples if value is not None}
    if not found:
        return
    yield f"# TYPE {family.name} {family.type}"
    if family.unit:
        yield f"# UNIT {family.name} {family.unit}"
    yield f"# HELP {family.name} {family.help}"
    for series, value in found.items():
        yield f"{family.name}{series} {_number(value)}"


def _labels(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items()) + "}"


def _escape(value: str) -> str:
    return plain(value).replace("#", "_").replace("\\", r"\\").replace('"', r"\"")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else f"{value:.9g}"
