"""Gates against a stored report: what another run is worth as a yardstick for this one."""

from __future__ import annotations

from mlopt.gate.evidence import Evidence, Question, rounds
from mlopt.report import change, control
from mlopt.report.change import Change
from mlopt.results.report import Report

_TOGETHER = "make the stored report again with this mlopt, these packages, this recipe, and a machine of this kind"


def speedup(asked: Question, stored: Report) -> Evidence:
    """Return how many times faster the final model is than the stored one, by the reference of both runs."""
    report = asked.report
    found = change.speedup_change(stored, report, asked.confidence)
    if found.value is None:
        return _incomparable(asked, found)
    old_doubt = control.doubt(stored.speedup, "the stored run")
    unknown = [each.speedup.noise_floor for each in (report, stored) if each.speedup.control is None]
    return Evidence(
        found.value, found.interval, rounds(report), "rounds", fixed=found.fixed, noise=max(unknown, default=None),
        doubt=old_doubt or control.doubt(report.speedup, "this run"), remedy=_TOGETHER if old_doubt else None,
        reach=control.reach(report.speedup) * control.reach(stored.speedup),
        rests_on=frozenset() if old_doubt else frozenset({report.baseline.name, report.final.name}),
    )  # fmt: skip


def drop(asked: Question, stored: Report, n: int) -> Evidence:
    """Return what the metric lost against the stored report's final model, in points."""
    found = change.accuracy_change(stored, asked.report, asked.confidence)
    return Evidence(found.value, found.interval, n) if found.value is not None else _incomparable(asked, found)


def size(asked: Question, stored: Report) -> Evidence:
    """Return the size of the final model as a multiple of the stored one's."""
    return _exact(asked, change.size_change(stored.final, asked.report.final))


def rss(asked: Question, stored: Report) -> Evidence:
    """Return the peak memory of the final model as a multiple of the stored one's."""
    return _exact(asked, change.rss_change(stored, asked.report))


def _exact(asked: Question, found: Change) -> Evidence:
    return Evidence(found.value) if found.value is not None else _incomparable(asked, found)


def _incomparable(asked: Question, found: Change) -> Evidence:
    return Evidence(None, missing=f"not comparable with {asked.vs}: {found.reason}", remedy=_TOGETHER)
