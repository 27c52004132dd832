"""A trial in words: what differs from the recipe, how far it came, and its figures, the same in every rendering."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mlopt.report import facts
from mlopt.report.study.analysis import PASSES, Quality, judged_by, level, quality
from mlopt.report.words import label, words
from mlopt.results.study import StudyRecord, TrialRecord

TrialStanding = Literal["best", "on the front", "valid", "not judged", "not valid", "stopped", "failed"]
ROLE: dict[TrialStanding, str] = {
    "best": "good", "on the front": "final", "valid": "quiet", "not judged": "warn", "not valid": "bad",
    "stopped": "warn", "failed": "bad",
}  # fmt: skip
"""The role of each standing's colour, in the order in which trials are listed."""
_ORDER = tuple(ROLE)
_MOST_DIFFERENCES, _TEXT, _REASON = 8, 60, 300
UNCHANGED = "as the recipe says"


@dataclass(frozen=True)
class TrialRow:
    """One trial; a cell is empty where nothing was measured."""

    one: TrialRecord
    standing: TrialStanding
    is_recipe: bool
    point: str
    """What differs from the recipe."""
    runtime: str
    latency: str
    speedup: str
    interval: str
    quality: str
    size: str
    memory: str
    took: str
    why: str

    @property
    def number(self) -> int:
        """Its number in the study."""
        return self.one.number


def rows(record: StudyRecord) -> tuple[TrialRow, ...]:
    """Return all trials: the best, the front, the other valid ones, and then what may not be shipped, by latency."""
    kind, on_front = measure(record), frozenset(record.front)
    defaults = {one.name: one.default for one in record.space}
    found = [_row(one, standing(one, record, on_front), defaults, kind) for one in record.trials]
    return tuple(sorted(found, key=_place))


def _place(row: TrialRow) -> tuple[int, float, int]:
    ms = row.one.latency_ms
    return _ORDER.index(row.standing), float("inf") if ms is None else ms, row.number


def measure(record: StudyRecord) -> Quality:
    """Return by which figure of quality the trials of this study are compared."""
    return judged_by(one for one in record.trials if one.status == "measured")


def quality_name(record: StudyRecord) -> str:
    """Return what that figure is called."""
    if measure(record) == "fidelity":
        return "Cosine"
    metric = next(one.accuracy.metric for one in record.trials if one.status == "measured" and one.accuracy)
    return facts.shorten(facts.upper_first(metric.replace(":", ".").rpartition(".")[2].replace("_", " ")), 24)


def standing(one: TrialRecord, record: StudyRecord, on_front: frozenset[int]) -> TrialStanding:
    """Return how far it came."""
    if one.status != "measured":
        return "stopped" if one.status == "stopped" else "failed"
    if one.number == record.best:
        return "best"
    if one.valid is None:
        return "not judged"
    if not one.valid:
        return "not valid"
    return "on the front" if one.number in on_front else "valid"


def recipe_trial(record: StudyRecord) -> TrialRecord | None:
    """Return the trial of the recipe's own chain."""
    return next((one for one in record.trials if one.origin == "recipe"), None)


def best_trial(record: StudyRecord) -> TrialRecord | None:
    """Return the trial that is shipped."""
    return next((one for one in record.trials if one.number == record.best), None)


def _row(one: TrialRecord, found: TrialStanding, defaults: dict[str, Any], kind: Quality) -> TrialRow:
    return TrialRow(
        one=one,
        standing=found,
        is_recipe=one.origin == "recipe",
        point=point(one, defaults),
        runtime=facts.shorten(one.runtime or str(one.params.get("runtime", "")), _TEXT),
        latency="" if one.latency_ms is None else facts.ms(one.latency_ms),
        speedup="" if one.speedup is None else facts.ratio(one.speedup),
        interval="" if one.ci95 is None else facts.between(one.ci95, facts.ratio),
        quality=quality_text(one, kind),
        size="" if one.size_bytes is None else facts.size(one.size_bytes),
        memory="" if one.peak_rss_bytes is None else facts.size(one.peak_rss_bytes),
        took=duration(one.seconds),
        why=facts.shorten(one.cause or one.why_not or "", _REASON),
    )


def quality_text(one: TrialRecord, kind: Quality) -> str:
    """Return the metric or the cosine as text; empty if it is not known."""
    if kind == "accuracy" and one.accuracy is not None:
        return facts.score(one.accuracy)
    value = quality(one, kind)
    return "" if value is None else f"{value:.6f}"


def point(one: TrialRecord, defaults: dict[str, Any]) -> str:
    """Say what differs from the recipe, ``fuse off; quantize mode static``."""
    told = list(_differences(one, defaults))
    more = len(told) - _MOST_DIFFERENCES
    return "; ".join([*told[:_MOST_DIFFERENCES], *([f"{more:,} more"] if more > 0 else [])]) or UNCHANGED


def _differences(one: TrialRecord, defaults: dict[str, Any]) -> Iterator[str]:
    for name, value in one.params.items():
        if name not in defaults or level(value) != level(defaults[name]):
            yield f"{parameter(name)} {setting(value)}"


def parameter(name: str) -> str:
    """Return a parameter's name as one reads it."""
    return facts.shorten(label(name.removeprefix(PASSES).replace(".", " ")), _TEXT)


def setting(value: Any) -> str:
    """Return a value as one reads it; a step is on or off."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return facts.shorten(words(value), _TEXT)


def space(record: StudyRecord, most: int = 60) -> list[tuple[str, str, str, str]]:
    """Return name, values, the recipe's own value and the condition of each parameter."""
    return [
        (
            parameter(one.name), _listed(one.values), setting(one.default),
            " and ".join(f"{parameter(key)} {' or '.join(setting(v) for v in of[:6])}"
                         for key, of in [*one.when.items()][:4]),
        )
        for one in record.space[:most]
    ]  # fmt: skip


def _listed(values: Sequence[Any], most: int = 12) -> str:
    more = len(values) - most
    return ", ".join([*(setting(v) for v in values[:most]), *([f"{more:,} more"] if more > 0 else [])])


def duration(seconds: float) -> str:
    """Return seconds, minutes or hours."""
    if seconds < 120:
        return f"{facts.number(seconds)} s"
    return f"{facts.number(seconds / 60)} min" if seconds < 7200 else f"{facts.number(seconds / 3600)} h"
