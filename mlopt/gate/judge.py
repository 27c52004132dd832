"""Limits on measured figures, judged: pure, from reports alone.

A verdict is three-valued. A limit is met when the whole interval is within it, broken when the whole interval is beyond
it, and otherwise undecided: "inconclusive" is an honest answer, and its message says what would decide it. A gate on
something that was not measured is an error, never a pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from mlopt.core.errors import GateError, Problem, UserError
from mlopt.gate.evidence import Evidence, Question
from mlopt.gate.limits import Gate
from mlopt.gate.message import counted, message
from mlopt.gate.readings import READINGS
from mlopt.gate.ruling import is_fixed, rule
from mlopt.gate.vocabulary import METRICS
from mlopt.measure.statistics import Blocks
from mlopt.results.report import Environment, GateVerdict, Report
from mlopt.results.section import Verdict

_NONE: Mapping[str, Report] = MappingProxyType({})


def judge(
    gates: Sequence[Gate], report: Report, *, samples: Mapping[str, Blocks] | None = None,
    baselines: Mapping[str, Report] = _NONE,
) -> tuple[GateVerdict, ...]:  # fmt: skip
    """Judge the gates; one that is for other hardware is left out where another limits the same on this hardware.

    ``samples`` are the raw blocks by candidate, in milliseconds, for gates on speed with a ``confidence`` of their own.
    ``baselines`` are stored reports by what ``vs`` calls them; ``load_baselines`` reads them. Raises
    ``GateError`` with all gates that ask for what was not measured, or if there are none.
    """
    _refuse_nothing(gates)
    verdicts: list[GateVerdict] = []
    problems: list[Problem] = []
    for gate, note in _for_this_hardware(gates, report.environment):
        try:
            evidence = READINGS[gate.metric](Question(report, gate.vs, gate.confidence, samples, baselines))
            standard = READINGS[gate.metric](Question(report, gate.vs, samples=samples, baselines=baselines))
            verdicts.append(_verdict(gate, _finite(evidence), _finite(standard), report, note))
        except UserError as error:
            problems += [replace(problem, where=f"gate {gate.metric} {gate.limit}") for problem in error.problems]
    if problems:
        raise GateError.of(problems)
    return tuple(verdicts)


def on_quality(gates: Sequence[Gate]) -> list[Gate]:
    """Return those that are about what a model answers."""
    return [gate for gate in gates if gate.metric.startswith(("accuracy.", "fidelity."))]


def on_size(gates: Sequence[Gate]) -> list[Gate]:
    """Return those that are about how large a model is."""
    return [gate for gate in gates if gate.metric in {"size_mb", "size.ratio"}]


def objection(gates: Sequence[Gate], report: Report, baselines: Mapping[str, Report] = _NONE) -> str | None:
    """Return what gates, if any, say against a model; one that cannot be decided counts against it too."""
    verdicts = judge(gates, report, baselines=baselines) if gates else ()
    return "; ".join(_against(each) for each in verdicts if each.verdict != "pass") or None


def _against(verdict: GateVerdict) -> str:
    """Say in a few words what a gate has against a model."""
    value = "unknown" if verdict.value is None else f"{verdict.value:.5g}"
    if verdict.found == "inconclusive" and verdict.interval is not None:
        low, high = verdict.interval
        return (
            f"{verdict.metric} is {value} ({low:.5g} to {high:.5g}), of which nobody can say that it is {verdict.limit}"
        )
    return f"{verdict.metric} is {value}, which is not {verdict.limit}"


def overall(verdicts: Sequence[GateVerdict]) -> Verdict:
    """Return the worst verdict: fail, then inconclusive, then pass; raises ``GateError`` if there are none."""
    _refuse_nothing(verdicts)
    found = {verdict.verdict for verdict in verdicts}
    return "fail" if "fail" in found else "inconclusive" if "inconclusive" in found else "pass"


def needs_more(
    gates: Sequence[Gate], report: Report, *, samples: Mapping[str, Blocks] | None = None,
    baselines: Mapping[str, Report] = _NONE,
) -> frozenset[str]:  # fmt: skip
    """Return the candidates of which more samples may decide a gate on speed; empty if none can, or none is needed.

    Those are names of references and of the final model, and for ratios the baseline: its control is measured beside
    it. An undecided gate that counts as a pass needs nothing. Arguments and errors are those of ``judge``.
    """
    names: frozenset[str] = frozenset()
    for gate, _ in _for_this_hardware(gates, report.environment):
        wanted = METRICS[gate.metric].of_speed and gate.on_inconclusive not in {"pass", "warn"}
        if not wanted or _mismatch(gate, report.environment):
            continue
        evidence = _finite(READINGS[gate.metric](Question(report, gate.vs, gate.confidence, samples, baselines)))
        if rule(gate, evidence) == "inconclusive" and not is_fixed(gate, evidence):
            names |= evidence.rests_on
    return names


def _refuse_nothing(items: Sequence[object]) -> None:
    if not items:
        raise GateError("there are no gates to judge", fix="add `gates:` to the recipe, or give a file with --gates")


def _for_this_hardware(gates: Sequence[Gate], environment: Environment) -> list[tuple[Gate, str]]:
    """Leave out the gates whose figure has another gate for this machine; return the rest, each with a note of that."""
    chosen = []
    for gate in gates:
        same = [other for other in gates if _subject(other) == _subject(gate)]
        left = [other.limit for other in same if _mismatch(other, environment)]
        if not left or len(left) == len(same):
            chosen.append((gate, ""))
        elif _mismatch(gate, environment) is None:
            chosen.append((gate, f" Left out, for other hardware: {'; '.join(left)}."))
    return chosen


def _subject(gate: Gate) -> tuple[str, str | None, bool]:
    return gate.metric, gate.vs, gate.max is None


def _mismatch(gate: Gate, environment: Environment) -> str | None:
    return gate.hardware.mismatch(environment) if gate.hardware else None


def _finite(evidence: Evidence) -> Evidence:
    """Refuse an interval that overflowed: a report may come from anybody."""
    if all(math.isfinite(end) for end in evidence.interval or ()):
        return evidence
    return Evidence(None, n=evidence.n, missing="the report's figures are too large to compute with", remedy="measure")


def _verdict(gate: Gate, evidence: Evidence, standard: Evidence, report: Report, note: str) -> GateVerdict:
    mismatch = _mismatch(gate, report.environment)
    found: Verdict = "inconclusive" if mismatch else rule(gate, evidence)
    text = message(gate, evidence, found, mismatch) + note
    verdict = found
    if found == "inconclusive" and gate.on_inconclusive:
        verdict = "pass" if gate.on_inconclusive == "warn" else gate.on_inconclusive
        text += counted(gate)
    finite = evidence.value is not None and math.isfinite(evidence.value)
    return GateVerdict(
        metric=gate.metric, limit=gate.limit, value=evidence.value if finite else None, ci95=standard.interval,
        n=evidence.n, verdict=verdict, message=text, found=found, confidence=gate.confidence,
        interval=evidence.interval, on_inconclusive=gate.on_inconclusive,
    )  # fmt: skip
