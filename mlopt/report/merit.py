"""Whose merit a speedup is: the runtime's, which would run the unchanged source as fast, or the passes'.

Against the baseline alone, a model that no pass made any faster looks fast when another runtime runs it. So the speedup
is told twice: against the baseline, and against the source unchanged where that is fastest.
"""

from __future__ import annotations

from mlopt.core.foreign_text import plain
from mlopt.report import control, facts
from mlopt.report.estimate import Estimate, over
from mlopt.report.options import in_words
from mlopt.results.figures import Speedup
from mlopt.results.report import CandidateRecord, Report
from mlopt.results.roles import FASTEST


def sentence(report: Report) -> str | None:
    """Return what of the speedup is whose merit; None where the report does not tell, or has no choice of runtimes."""
    fastest, passes = report.references.get(FASTEST), report.speedups.get(FASTEST)
    if is_source(report):
        return _unchanged(report)
    if fastest is not None and passes is not None and report.speedup.vs != FASTEST:
        return _shared(report, fastest, passes)
    return _of_no_other_runtime(report)


def is_source(report: Report) -> bool:
    """Tell whether what is shipped is the source, which no pass changed."""
    shipped = [one for one in report.tried if one.why_not is None]
    return any(one.unchanged for one in shipped) or (FASTEST in report.references and control.is_same(report, FASTEST))


def by_runtime(report: Report) -> Estimate | None:
    """Return how many times as fast as the baseline the fastest unchanged source is; None if it cannot be told.

    It is the ratio of two speedups of the final model in one run, taken as independent: since both hold the noise of
    that model, the interval is rather too wide.
    """
    whole, passes = report.speedup, report.speedups.get(FASTEST)
    return over((whole.median, control.credible(whole)), (passes.median, control.credible(passes))) if passes else None


def _unchanged(report: Report) -> str | None:
    if control.is_same(report, report.speedup.vs):
        return None  # the headline says so
    best = "best" if report.objective == "size" else "fastest"
    merit = ", so all of its speed is the runtime's merit" if control.beyond_noise(report.speedup) > 0 else ""
    return (
        f"The {best} valid deployable is the source itself, in {in_words(report.final, report)}: "
        f"no pass changed the model{merit}."
    )


def _shared(report: Report, fastest: CandidateRecord, passes: Speedup) -> str:
    runtime, worth = by_runtime(report), _estimate((passes.median, control.credible(passes)))
    where, here = in_words(fastest, report), in_words(report.final, report)
    alone = f"{_estimate(runtime)} as fast as" if runtime else "faster than"
    said = f"The unchanged source in {where} is {alone} {plain(report.speedup.vs)}"
    side = control.beyond_noise(passes)
    if side == 0:
        return f"{said}; the passes add nothing measurable to that ({worth})."
    if side < 0:
        return f"{said}; what is shipped is only {worth} as fast as that."
    if where != here or runtime is None or control.beyond_noise(report.speedup) < 1:
        return f"{said}; what is shipped, in {here}, is {worth} as fast as that."
    return (
        f"Of that, the runtime alone ({where}, with the source unchanged) gives {_estimate(runtime)}, "
        f"and the passes give {worth}."
    )


def _of_no_other_runtime(report: Report) -> str | None:
    """Say so where the unchanged source was tried in several runtimes, and the baseline's was the fastest."""
    runtimes = {one.runtime for one in report.tried if one.unchanged and one.latency_ms is not None}
    if FASTEST in report.references or len(runtimes) < 2:
        return None
    return f"No runtime that was tried runs the unchanged source faster than {plain(report.speedup.vs)}."


def _estimate(found: Estimate) -> str:
    return f"{facts.ratio(found[0])} ({facts.between(found[1], facts.ratio)})"
