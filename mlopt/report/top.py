"""What a reader sees first, and what a share card shows: the three numbers, each with what qualifies it."""

from __future__ import annotations

from mlopt.report import control, facts
from mlopt.report.facts import Figure
from mlopt.results.report import Report

_NAME_LENGTH = 32


def numbers(report: Report) -> tuple[Figure, ...]:
    """Return speedup, loss of quality and size; without a metric, the cosine to the source stands for quality."""
    return (_speedup(report), *_quality(report), _size(report))


def role(report: Report) -> str:
    """Return the colour of the speedup: none where it could be noise."""
    return {1: "good", 0: "warn", -1: "bad"}[control.beyond_noise(report.speedup)]


def _speedup(report: Report) -> Figure:
    found, vs = report.speedup, facts.short_name(report.speedup.vs, _NAME_LENGTH)
    if found.ci95 == (1.0, 1.0):
        return Figure("Speedup", facts.ratio(found.median), f"the same model as {vs}")
    span = facts.between(control.credible(found), facts.ratio)
    noise = "" if control.beyond_noise(found) else "; could be noise"
    return Figure("Speedup", facts.ratio(found.median), f"{span}, against {vs}{noise}")


def _quality(report: Report) -> tuple[Figure, ...]:
    drop, fidelity, accuracy = report.accuracy_drop, report.final.fidelity, report.final.accuracy
    name = facts.upper_first(facts.metric_name(report))
    if drop is not None:
        detail = f"{facts.between(drop.ci95, facts.points)}, against {facts.short_name(drop.vs, _NAME_LENGTH)}"
        return (Figure(f"{name} drop", facts.points(drop.pt), detail),)
    if fidelity is not None:
        error = "equal outputs" if fidelity.sqnr_db is None else f"SQNR {fidelity.sqnr_db:.1f} dB"
        return (Figure("Cosine to the source", f"{fidelity.cosine:.5f}", f"{error}, n = {fidelity.n:,}"),)
    return () if accuracy is None else (Figure(name, facts.score(accuracy), f"n = {accuracy.n:,}"),)


def _size(report: Report) -> Figure:
    final, base = report.final.size_bytes, facts.compared(report)
    share, name = facts.percent(final / max(1, base.size_bytes), 0), facts.short_name(base.name, _NAME_LENGTH)
    return Figure("Size", facts.size(final), f"{share} of the {facts.size(base.size_bytes)} of {name}")
