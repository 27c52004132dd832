"""The words of a verdict: the figure, its interval and n, what follows for the limit, and what to do."""

from __future__ import annotations

import math

from mlopt.gate.evidence import Evidence
from mlopt.gate.limits import Gate
from mlopt.gate.ruling import is_fixed, times_as_many, within_noise
from mlopt.gate.vocabulary import METRICS
from mlopt.measure.statistics import samples_needed
from mlopt.results.section import Verdict

_LEAST_MARGIN_PT = 1e-3
_REASONABLE = 100
_STANDARD = 0.95


def message(gate: Gate, evidence: Evidence, found: Verdict, mismatch: str | None) -> str:
    """Word the verdict ``found``; ``mismatch`` says how the machine differs from the one the gate is for.

    What else the run measured that would have met a broken gate is for ``mlopt.report.advice`` to say.
    """
    figure = _figure(gate, evidence)
    if mismatch:
        fix = "judge a report of such a machine, or add a gate with this machine's `hardware`"
        return f"{figure}: {gate.limit} is not for this report: {mismatch}. To decide: {fix}."
    if found == "pass":
        return f"{figure}: {gate.limit} is met."
    if found == "fail":
        return f"{figure}: {gate.limit} is not met. What may help: {METRICS[gate.metric].when_broken}."
    return f"{figure}{_undecided(gate, evidence)}"


def counted(gate: Gate) -> str:
    """Say what an undecided gate counts as."""
    warning = ", with a warning" if gate.on_inconclusive == "warn" else ""
    verdict = "pass" if gate.on_inconclusive == "warn" else gate.on_inconclusive
    return f" Undecided counts as {verdict} here{warning} (on_inconclusive: {gate.on_inconclusive})."


def _undecided(gate: Gate, evidence: Evidence) -> str:
    """Say why it is undecided, and what would decide it."""
    decide = f"To decide: {evidence.remedy or METRICS[gate.metric].when_undecided}."
    if evidence.value is None:
        return f" for {gate.limit}: {evidence.missing}. {decide}"
    if evidence.doubt:
        return f": {gate.limit} cannot be decided, since {evidence.doubt}. {decide}"
    if within_noise(gate, evidence):
        noise = f"two copies of one model differed by up to {evidence.noise:.1%} in this run"
        return f": {noise}, and the limit of {gate.limit} is no further away. {decide}"
    if evidence.noise_floor and not _straddles(gate, evidence):
        noise = f"two copies of one model differed by up to {evidence.noise_floor:.1%} in this run"
        return f": {noise}, and the ratio is no further from 1, so nothing is faster or slower by this. {decide}"
    return f": the interval straddles the limit of {gate.limit}. {_how_many(gate, evidence)}"


def _straddles(gate: Gate, evidence: Evidence) -> bool:
    low, high = sorted(evidence.interval or (gate.bound, gate.bound))
    return low <= gate.bound <= high


def _figure(gate: Gate, evidence: Evidence) -> str:
    if evidence.value is None:
        return "no figure"
    text = f"{evidence.value:.5g}" + (f" ({evidence.of})" if evidence.of and evidence.value else "")
    if evidence.interval:
        text += f" [{evidence.interval[0]:.5g}, {evidence.interval[1]:.5g}]"
        text += "" if math.isclose(gate.confidence, _STANDARD) else f" at {100 * gate.confidence:.6g} %"
    if evidence.n is not None:
        text += f", n = {evidence.n}" + (" rounds" if evidence.unit == "rounds" else "")
    return text


def _how_many(gate: Gate, evidence: Evidence) -> str:
    """Say how many samples or rounds would decide an interval that straddles its limit, or that no number would."""
    if evidence.disagreement is not None and gate.max is not None:
        return _drop_samples(gate, evidence)
    if is_fixed(gate, evidence):
        return "The stored run's own interval reaches the limit: make the stored report again with a longer run."
    times = times_as_many(gate, evidence)
    if not times <= _REASONABLE:  # infinite, or not a number where figures overflow
        more = "run of reasonable length" if METRICS[gate.metric].of_speed else "reasonable number of samples"
        fix = "" if gate.on_inconclusive else ", or say what undecided counts as (`on_inconclusive`)"
        return f"It is so near the limit that no {more} decides it: move the limit away{fix}."
    if evidence.n is None:
        needed = f"a run about {times:.1f} times as long"
    else:
        needed = f"about {math.ceil(round(times * evidence.n, 3)):,} {evidence.unit}"
    there = "" if evidence.n is None else f" (there are {evidence.n:,})"
    return f"If it is what it seems, {needed} would decide it{there}: {METRICS[gate.metric].when_undecided}."


def _drop_samples(gate: Gate, evidence: Evidence) -> str:
    """Say how many samples show, with 80 % power, that a drop stays below its limit."""
    if evidence.value is None or evidence.disagreement is None or evidence.value >= gate.bound:
        return "The drop itself is at or beyond the limit: more samples would sooner show a failure than a pass."
    margin = gate.bound - max(evidence.value, 0.0)
    if margin < _LEAST_MARGIN_PT:
        return "No practical number of samples decides so small a margin: allow a drop, such as max: 0.5."
    needed = samples_needed(margin, evidence.disagreement, alpha=(1 - gate.confidence) / 2)
    return f"If it is what it seems, about {needed:,} evaluation samples would show it; there are {evidence.n:,}."
