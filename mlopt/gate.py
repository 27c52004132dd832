"""Limits on measured figures, judged: pure, from a report alone.

A verdict is three-valued. A limit is met when the whole 95 % interval is within it, broken when the whole interval is
beyond it, and otherwise undecided: "inconclusive" is an honest answer, and its message says what would decide it. A
gate on something that was not measured is an error, never a pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mlopt.errors import GateError, Problem
from mlopt.measure.statistics import samples_needed
from mlopt.report.schema import Fidelity, GateVerdict, Interval, Report, Verdict


@dataclass(frozen=True)
class Evidence:
    """What a report knows about one metric: a figure, or the reason why the samples cannot support one."""

    value: float | None
    ci95: Interval | None = None
    n: int | None = None
    missing: str | None = None
    noise: float | None = None
    """Of a speedup: its A/A control."""
    disagreement: float | None = None
    """Of a drop: the share of samples on which the two models differ, 0 to 1."""


@dataclass(frozen=True)
class Metric:
    """One name that a gate may use; raises ``GateError`` on reading what was not measured."""

    read: Callable[[Report, str | None], Evidence]
    when_broken: str
    when_undecided: str = ""
    takes_vs: bool = False


class Gate(BaseModel):
    """One limit: exactly one of ``max`` and ``min``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str = Field(description="what is limited, such as latency.p95_ms, accuracy.drop_pt or speedup.median")
    max: float | None = Field(default=None, strict=True, allow_inf_nan=False, description="the figure may be at most")
    min: float | None = Field(default=None, strict=True, allow_inf_nan=False, description="the figure must be at least")
    vs: str | None = Field(default=None, description="for speedup and drop: the reference; the baseline if absent")
    on_inconclusive: Literal["fail", "pass"] | None = Field(
        default=None, description="what an undecided gate counts as; recorded in its message"
    )

    @field_validator("metric")
    @classmethod
    def _known(cls, metric: str) -> str:
        if metric not in METRICS:
            raise ValueError(f"there is no metric '{metric}'; {_did_you_mean(metric, METRICS)}")
        return metric

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if (self.max is None) == (self.min is None):
            raise ValueError("a gate takes exactly one of `max` and `min`")
        if self.vs is not None and not METRICS[self.metric].takes_vs:
            raise ValueError(f"`vs` does not go with {self.metric}: it compares with nothing")
        return self

    @property
    def limit(self) -> str:
        """The limit as text, such as ``>= 1.2 vs onnx_fp32``."""
        bound = f"<= {self.max:.10g}" if self.max is not None else f">= {self.min:.10g}"
        return f"{bound} vs {self.vs}" if self.vs else bound


def judge(gates: Sequence[Gate], report: Report) -> tuple[GateVerdict, ...]:
    """Judge every gate; raises ``GateError`` with all that ask for what was not measured, or if there are none."""
    _refuse_nothing(gates)
    verdicts: list[GateVerdict] = []
    problems: list[Problem] = []
    for gate in gates:
        try:
            verdicts.append(_judge_one(gate, METRICS[gate.metric].read(report, gate.vs)))
        except GateError as error:
            problems += [replace(problem, where=f"gate {gate.metric} {gate.limit}") for problem in error.problems]
    if problems:
        raise GateError.of(problems)
    return tuple(verdicts)


def overall(verdicts: Sequence[GateVerdict]) -> Verdict:
    """Return the worst verdict: fail, then inconclusive, then pass; raises ``GateError`` if there are none."""
    _refuse_nothing(verdicts)
    found = {verdict.verdict for verdict in verdicts}
    return "fail" if "fail" in found else "inconclusive" if "inconclusive" in found else "pass"


def _refuse_nothing(items: Sequence[object]) -> None:
    if not items:
        raise GateError("there are no gates to judge", fix="add `gates:` to the recipe, or give a file with --gates")


def _judge_one(gate: Gate, evidence: Evidence) -> GateVerdict:
    found = _verdict(gate, evidence)
    counted: Verdict = gate.on_inconclusive if found == "inconclusive" and gate.on_inconclusive else found
    message = _message(gate, evidence, found)
    if counted != found:
        message += f" Undecided counts as {counted} here (on_inconclusive: {counted})."
    finite = evidence.value is not None and math.isfinite(evidence.value)
    return GateVerdict(
        metric=gate.metric, limit=gate.limit, value=evidence.value if finite else None, ci95=evidence.ci95,
        n=evidence.n, verdict=counted, message=message,
    )  # fmt: skip


def _verdict(gate: Gate, evidence: Evidence) -> Verdict:
    if evidence.value is None or _within_noise(gate, evidence):
        return "inconclusive"
    low, *_, high = sorted([evidence.value, *(evidence.ci95 or (evidence.value,))])
    least = -math.inf if gate.min is None else gate.min
    most = math.inf if gate.max is None else gate.max
    if least <= low and high <= most:
        return "pass"
    return "fail" if high < least or low > most else "inconclusive"


def _message(gate: Gate, evidence: Evidence, verdict: Verdict) -> str:
    """Say the figure, its interval and n, what follows for the limit, and what to do."""
    metric = METRICS[gate.metric]
    if evidence.value is None:
        return f"no figure for {gate.limit}: {evidence.missing}. To decide: {metric.when_undecided}."
    figure = f"{evidence.value:.5g}"
    if evidence.ci95:
        figure += f" [{evidence.ci95[0]:.5g}, {evidence.ci95[1]:.5g}]"
    if evidence.n is not None:
        figure += f", n = {evidence.n}"
    if verdict == "pass":
        return f"{figure}: {gate.limit} is met."
    if verdict == "fail":
        return f"{figure}: {gate.limit} is not met. What may help: {metric.when_broken}."
    why = f"the interval straddles the limit of {gate.limit}"
    if _within_noise(gate, evidence):
        why = (
            f"two copies of one model differed by up to {evidence.noise:.1%} in this run, "
            f"and the limit of {gate.limit} is no further away"
        )
    decide = _samples_hint(gate, evidence) or f"To decide: {metric.when_undecided}."
    return f"{figure}: {why}. {decide}"


def _within_noise(gate: Gate, evidence: Evidence) -> bool:
    """Whether a ratio is no further from its limit than the A/A control came out from 1, where it should be."""
    limit = gate.max if gate.max is not None else gate.min
    if evidence.noise is None or not evidence.value or not limit or evidence.value < 0 or limit < 0:
        return False
    return max(evidence.value / limit, limit / evidence.value) <= 1 + evidence.noise


def _samples_hint(gate: Gate, evidence: Evidence) -> str:
    """Say how many samples would decide a limit on a drop, or that no number would."""
    if evidence.disagreement is None or evidence.value is None or gate.max is None:
        return ""
    if evidence.value >= gate.max:
        return "The drop itself is at or beyond the limit: more samples would sooner show a failure than a pass."
    margin = gate.max - max(evidence.value, 0.0)
    if margin < _LEAST_MARGIN_PT:
        return "No practical number of samples decides so small a margin: allow a drop, such as max: 0.5."
    needed = samples_needed(margin, evidence.disagreement, alpha=0.025)
    return f"If the drop is what it seems, about {needed} evaluation samples would show it; there are {evidence.n}."


def _percentile(key: str) -> Callable[[Report, str | None], Evidence]:
    def read(report: Report, _vs: str | None) -> Evidence:
        latency = report.final.latency_ms
        value: float | None = getattr(latency, key)
        if value is None or key not in latency.ci95:
            why = latency.reasons.get(key, "the report gives no interval")
            return Evidence(None, n=latency.n, missing=why)
        return Evidence(value, latency.ci95[key], latency.n)

    return read


def _accuracy(report: Report, _vs: str | None) -> Evidence:
    found = report.final.accuracy
    if found is None:
        raise GateError("no accuracy was measured", fix=_NO_METRIC)
    return Evidence(found.value, found.ci95, found.n)


def _drop(report: Report, vs: str | None) -> Evidence:
    found = report.accuracy_drop
    if found is None:
        raise GateError("no accuracy drop was measured", fix=_NO_METRIC)
    if vs not in {None, found.vs}:
        raise GateError("the drop was measured against another model", got=vs, expected=found.vs, fix="leave `vs` out")
    # Scores between 0 and 1 differ by less than a whole hit; their interval shows how much each sample carries.
    n, half = max(found.n, 1), abs(found.ci95[1] - found.ci95[0]) / 200
    share = min(max(found.disagreements, 1) / n, n * (half / _Z) ** 2)
    return Evidence(found.pt, found.ci95, found.n, disagreement=share)


def _fidelity(read: Callable[[Fidelity], float]) -> Callable[[Report, str | None], Evidence]:
    def evidence(report: Report, _vs: str | None) -> Evidence:
        found = report.final.fidelity
        if found is None:
            raise GateError(
                "fidelity was not measured", fix="give evaluation or calibration data to compare outputs on"
            )
        return Evidence(read(found), n=found.n)

    return evidence


def _sqnr(found: Fidelity) -> float:
    return math.inf if found.sqnr_db is None else found.sqnr_db


def _speedup(report: Report, vs: str | None) -> Evidence:
    found = report.speedup if vs is None else report.speedups.get(vs)
    if found is None:
        raise GateError(f"nothing named '{vs}' was measured", fix=_did_you_mean(str(vs), report.speedups))
    return Evidence(found.median, found.ci95, noise=found.noise_floor)


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = get_close_matches(name, names, 1)
    return f"did you mean '{near[0]}'?" if near else f"choose one of {', '.join(names)}"


_Z = 1.96
_LEAST_MARGIN_PT = 1e-3
_NO_METRIC = "give the recipe a `metric` and `data.evaluation`, or leave this gate out"
_LONGER = "measure longer (`measure.seconds`), or on a quieter machine"
_STEPS = "other passes; the report's table of steps shows what each one gained"
_MILDER = "a milder lossy step (more calibration samples, sensitive nodes left out), or none"
_SMALLER = "quantized weights, or a smaller model"

METRICS: Mapping[str, Metric] = {
    "latency.p50_ms": Metric(_percentile("p50"), _STEPS, _LONGER),
    "latency.p90_ms": Metric(_percentile("p90"), _STEPS, _LONGER),
    "latency.p95_ms": Metric(_percentile("p95"), _STEPS, _LONGER),
    "latency.p99_ms": Metric(_percentile("p99"), _STEPS, _LONGER),
    "latency.p99.9_ms": Metric(_percentile("p999"), _STEPS, _LONGER),
    "latency.mean_ms": Metric(_percentile("mean"), _STEPS, _LONGER),
    "throughput_per_s": Metric(lambda report, _: Evidence(report.final.throughput_per_s), _STEPS),
    "speedup.median": Metric(_speedup, _STEPS, _LONGER, takes_vs=True),
    "size_mb": Metric(lambda report, _: Evidence(report.final.size_bytes / 1e6), _SMALLER),
    "peak_rss_mb": Metric(lambda report, _: Evidence(report.final.peak_rss_bytes / 1e6), _SMALLER),
    "accuracy.value": Metric(_accuracy, _MILDER, "evaluate on more samples"),
    "accuracy.drop_pt": Metric(_drop, _MILDER, "evaluate on more samples", takes_vs=True),
    "fidelity.cosine": Metric(_fidelity(lambda found: found.cosine), _MILDER),
    "fidelity.sqnr_db": Metric(_fidelity(_sqnr), _MILDER),
    "fidelity.max_abs": Metric(_fidelity(lambda found: found.max_abs), _MILDER),
}
"""Every name that a gate may use, in the order in which they are listed to people."""
