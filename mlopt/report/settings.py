"""What else a run measured besides what it ships, each as a setting: its figures, and how another run comes to it.

Those are the deployables that were tried, the steps as far as they are none of those, the source as it is, and the
modes of a search that was made. Names in a report may be anybody's, so they are shown as text and quoted for a shell.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from mlopt.core.foreign_text import plain
from mlopt.report import facts, search
from mlopt.report.search import TriedVersion
from mlopt.report.tried import ordered
from mlopt.results.figures import Accuracy, Fidelity, Latency, Parity
from mlopt.results.report import Report, StepRecord, Tried
from mlopt.results.section import Interval

Aspect = Literal["speed", "quality", "size"]
"""What a gate is about, as far as settings differ in it."""

_FORM = re.compile(r"after (?P<name>.{1,64}) \((?P<number>[0-9]{1,3})(?:, in [^()]{1,40})?\)")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_KEPT = ("applied", "cached")
_ASPECTS: tuple[Aspect, ...] = ("speed", "quality", "size")
_MOST = 200
"""A report of a stranger may hold more that was tried, for as many gates."""
_LOSSY_DB = 80.0
"""A step whose outputs are nearer to its input's than this computes the same in another order."""


@dataclass(frozen=True)
class MeasuredSetting:
    """One of them; a figure that was not measured of it is None."""

    told: str
    """What it is, inside a sentence."""
    objection: str | None
    """What speaks against shipping it, whatever a failed gate says."""
    how: Mapping[Aspect, str]
    """How a run comes to it, by what is the matter with what is shipped: the end of ``To get it, ...``."""
    tried: Tried | None = None
    """The deployable that it is, which tells how it is run."""
    ms: float | None = None
    """The median of one inference."""
    latency: Latency | None = None
    speedup: float | None = None
    """Against the baseline."""
    ci95: Interval | None = None
    """Of ``speedup``, where both were measured side by side."""
    size_bytes: int | None = None
    accuracy: Accuracy | None = None
    quality: Mapping[str, float] = field(default_factory=dict)
    """Figures without an interval, by the metrics of gates; equal outputs have an infinite SQNR."""


def settings(report: Report) -> tuple[MeasuredSetting, ...]:
    """Return all of them, what is shipped left out; none where no recipe was run."""
    if not report.steps:
        return ()
    tried = [one for one in ordered(report)[:_MOST] if one.why_not is not None and not _is_shipped(report, one)]
    forms = {_number(one.model) for one in report.tried}
    steps = [n for n in range(1, len(report.steps) + 1) if n not in forms and n != _last(report)]
    source = () if 0 in forms else (_source(report),)
    return (
        *(_of_tried(report, one) for one in tried),
        *(_of_step(report, number) for number in steps if report.steps[number - 1].latency_ms is not None),
        *(source if _last(report) else ()), *_of_searches(report),
    )  # fmt: skip


def _is_shipped(report: Report, one: Tried) -> bool:
    """Whether it is what is shipped although the gates are against it: nothing better may have been there."""
    final = report.final
    alike = (one.digest, one.runtime) == (final.digest, final.runtime)
    return alike and all(final.options.get(key) == value for key, value in one.options.items())


def kept(report: Report) -> list[tuple[int, StepRecord]]:
    """Return the steps whose results are in what is shipped, with their numbers from 1 on."""
    return [(number, step) for number, step in enumerate(report.steps, 1) if step.status in _KEPT]


def blamed(report: Report, aspect: Aspect, after: int = 0) -> list[int]:
    """Return the numbers of the kept steps after a number that made speed, quality or size worse."""
    before: StepRecord | None = None
    found = []
    for number, step in kept(report):
        worse = _worsened(report, before, step, aspect)
        found += [number] if worse and number > after else []
        before = step
    return found


def lossy(parity: Parity | None) -> bool:
    """Whether a step changed results by more than the order of computing explains."""
    return parity is not None and parity.sqnr_db is not None and parity.sqnr_db < _LOSSY_DB


def key(report: Report, number: int) -> str:
    """Return what ``--set`` calls a step: ``passes.quantize``, or ``passes.2`` where that would not tell."""
    name = report.steps[number - 1].name
    alone = sum(step.name == name for step in report.steps) == 1
    return f"passes.{name if alone and _KEY.fullmatch(name) else number - 1}"


def _worsened(report: Report, before: StepRecord | None, step: StepRecord, aspect: Aspect) -> bool:
    if aspect == "quality":
        was = (before.accuracy if before else None) or report.baseline.accuracy
        return lossy(step.parity) or bool(was and step.accuracy and step.accuracy.value < was.value)
    if aspect == "size":
        size = before.size_bytes if before else report.baseline.size_bytes
        return bool(size and step.size_bytes and step.size_bytes > size)
    return slower(before.latency_ms if before else report.baseline.latency_ms, step.latency_ms)


def slower(before: Latency | None, now: Latency | None) -> bool:
    """Whether a median is surely longer: its whole interval lies beyond that of the one before."""
    ends = [one.ci95.get("p50") if one is not None else None for one in (before, now)]
    return ends[0] is not None and ends[1] is not None and ends[1][0] > ends[0][1]


def _of_tried(report: Report, one: Tried) -> MeasuredSetting:
    number = _number(one.model)
    model = "the source" if number == 0 else f"the model {facts.shorten(one.model, 60)}"
    return MeasuredSetting(
        told=model, tried=one, objection=one.why_not if one.valid is False else None,
        how=_how(report, number, one.runtime), ms=one.latency_ms, speedup=one.speedup, ci95=one.ci95,
        size_bytes=one.size_bytes, accuracy=one.accuracy, quality=_figures(one.fidelity),
    )  # fmt: skip


def _of_step(report: Report, number: int) -> MeasuredSetting:
    step = report.steps[number - 1]
    against = step.reason if step.reason and step.reason.startswith(("accuracy.", "fidelity.")) else None
    dropped, ms = step.status == "dropped", step.latency_ms.p50 if step.latency_ms else None
    return MeasuredSetting(
        told=f"the model after {plain(step.name)} ({number}){', in its trial,' if dropped else ''}",
        objection=against if dropped else None, how=_how(report, number, report.final.runtime),
        ms=ms, latency=step.latency_ms, speedup=_times(report.baseline.latency_ms.p50, ms),
        size_bytes=step.size_bytes, accuracy=step.accuracy,
    )  # fmt: skip


def _source(report: Report) -> MeasuredSetting:
    """The source as it is only exported, as it runs by default."""
    base = report.baseline
    return MeasuredSetting(
        told=f"the source as it is ({plain(base.name)})", objection=None, how=_how(report, 0, base.runtime),
        ms=base.latency_ms.p50, latency=base.latency_ms, speedup=1.0, size_bytes=base.size_bytes,
        accuracy=base.accuracy, quality=_figures(base.fidelity),
    )  # fmt: skip


def _of_searches(report: Report) -> Iterator[MeasuredSetting]:
    """Yield the best version of each mode that a kept step's search judged, other than the mode that it chose."""
    for number, step in kept(report):
        found = search.read(step.notes)
        if found is None or found.best is None or "mode" not in step.config:
            continue
        for mode in dict.fromkeys(one.mode for one in found.front if one.mode != found.best.mode):
            best = max((one for one in found.front if one.mode == mode), key=lambda one: one.cosine or 0.0)
            option = f"add `--set {shlex.quote(f'{key(report, number)}.mode={plain(mode)}')}` to the command"
            yield MeasuredSetting(
                told=f"{plain(step.name)} in mode {plain(mode)}, as its search judged it,", objection=best.objection,
                how=dict.fromkeys(_ASPECTS, option), size_bytes=best.size_bytes, quality=_judged(best),
            )  # fmt: skip


def _figures(found: Fidelity | None) -> dict[str, float]:
    if found is None:
        return {}
    known = {
        "cosine": found.cosine, "sqnr_db": math.inf if found.sqnr_db is None else found.sqnr_db,
        "relative_error": found.relative_error, "shift": found.shift, "worst_part": found.worst_part,
        "max_abs": found.max_abs, "matched": found.matched,
    }  # fmt: skip
    return {f"fidelity.{name}": value for name, value in known.items() if value is not None}


def _judged(one: TriedVersion) -> dict[str, float]:
    known = {"fidelity.cosine": one.cosine, "fidelity.sqnr_db": one.sqnr_db, "accuracy.value": one.metric}
    return {name: value for name, value in known.items() if value is not None}


def _how(report: Report, number: int | None, runtime: str) -> Mapping[Aspect, str]:
    """Say how a run comes to the model after a step, or to the source (0), in a runtime; empty where nothing would."""
    if number is None or number > len(report.steps):
        return {}
    options = []
    if number and report.steps[number - 1].status == "dropped":
        if any(lossy(step.parity) for after, step in kept(report) if after > number):
            return {}  # it would be done on top
        options.append(f"--set {key(report, number)}.optional=false")
    if runtime != report.final.runtime:
        options.append(f"--runtime {shlex.quote(plain(runtime))}")
    found = {aspect: _words(report, number, aspect, options) for aspect in _ASPECTS}
    return {aspect: words for aspect, words in found.items() if words}


def _words(report: Report, number: int, aspect: Aspect, options: Sequence[str]) -> str:
    """Word what to add, and which later steps to do without: what no gate on them drops is left out of the recipe."""
    later = blamed(report, aspect, number)
    out: Collection[int] = later if aspect == "size" else ()
    options = [*options, *(f"--set {key(report, each)}.optional=true" for each in later if each not in out)]
    words = [f"add `{' '.join(options)}` to the command"] if options else []
    words += [f"leave `{plain(report.steps[each - 1].name)}` out of `passes`" for each in out]
    return ", and ".join(words)


def _number(form: str) -> int | None:
    """Return the number of the step that made a form of the model, 0 for the source; None if its name does not say."""
    if form == "source":
        return 0
    found = _FORM.fullmatch(form)
    return int(found["number"]) if found else None


def _last(report: Report) -> int:
    """Return the number of the last kept step: what it made is what is shipped. 0 if none was kept."""
    return max((number for number, _ in kept(report)), default=0)


def _times(base: float | None, ms: float | None) -> float | None:
    return base / ms if base and ms else None
