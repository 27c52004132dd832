"""What a run came to, in the one sentence that every rendering begins with: no more than the evidence allows."""

from __future__ import annotations

import re

from mlopt.core.foreign_text import plain
from mlopt.report import control, facts
from mlopt.results.report import Report, StepRecord

_RATIO = re.compile(r"\d+(?:\.\d+)?x \([^()]{1,40}\)")
_TOLD = 80  # characters of a step's reason
_LEFT = ("dropped", "refused", "failed")


def headline(report: Report) -> str:
    """Return what the run achieved, in one sentence that claims no more than the intervals do."""
    if report.steps and control.is_same(report, report.speedup.vs):
        return _nothing_helped(report)
    share = report.final.size_bytes / max(1, facts.compared(report).size_bytes)
    parts = [facts.speed_claim(report.speedup), f"{facts.percent(share, 0)} of its size"]
    drop = report.accuracy_drop
    if drop is not None:
        parts.append(
            f"{facts.metric_name(report)} drop {facts.points(drop.pt)} ({facts.between(drop.ci95, facts.points)})"
        )
    return ", ".join(parts) + "."


def _nothing_helped(report: Report) -> str:
    """Say that the result is the reference itself, and what became of each step."""
    tried = "; ".join(_became(step) for step in report.steps)
    return f"Nothing that was tried helped, so the result is {plain(report.speedup.vs)} as it is. Tried: {tried}."


def _became(step: StepRecord) -> str:
    name = plain(step.name)
    if step.status not in _LEFT:
        return f"{name} (changes nothing)"
    reason = plain(step.reason or "")
    found = _RATIO.search(reason)
    told = f"{reason.partition(':')[0]}, {found.group()}" if found else reason
    told = facts.shorten(told, _TOLD)
    return f"{name} ({step.status}: {told})" if told else f"{name} ({step.status})"
