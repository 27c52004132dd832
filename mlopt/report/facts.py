"""What every rendering of a report says: its figures as text, its rows in order, its sentence.

HTML, Markdown, the pictures and the terminal differ in looks only; whatever they claim is decided here, once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from mlopt.core.foreign_text import plain
from mlopt.report import control
from mlopt.results.figures import Accuracy, Fidelity, Latency, Speedup
from mlopt.results.report import CandidateRecord, Report, StepRecord
from mlopt.results.roles import FASTEST
from mlopt.results.section import Interval

PERCENT_METRICS = frozenset({"accuracy", "agreement", "sequence_agreement"})
"""Metrics that are a share of the samples, and read best as a percentage."""


@dataclass(frozen=True)
class StoryRow:
    """One row of the story: a reference, a step, or the model that is shipped."""

    part: Literal["reference", "step", "final"]
    label: str
    status: str
    """A step's status; empty for the other rows."""
    latency: Latency | None
    size_bytes: int | None
    accuracy: Accuracy | None
    macs: int | None = None
    reason: str | None = None

    @property
    def kept(self) -> bool:
        """Whether what it made went on to the next step."""
        return self.status not in ("dropped", "refused", "failed")


@dataclass(frozen=True)
class Figure:
    """One number of the headline, with what qualifies it."""

    label: str
    value: str
    detail: str


def stages(report: Report) -> tuple[StoryRow, ...]:
    """Return the references, the steps and the final model, in the order in which they are told."""
    references = (_row("reference", one) for one in models(report)[:-1])
    steps = (_row("step", one, one.status, one.reason) for one in report.steps)
    return *references, *steps, _row("final", report.final)


def _row(
    part: Literal["reference", "step", "final"], one: CandidateRecord | StepRecord, status: str = "",
    reason: str | None = None,
) -> StoryRow:  # fmt: skip
    return StoryRow(
        part, one.name, status, latency=one.latency_ms, size_bytes=one.size_bytes, accuracy=one.accuracy,
        macs=one.macs, reason=reason,
    )  # fmt: skip


def work(report: Report) -> str | None:
    """Return what to call multiplications here, with how many samples they are of; None where none were counted."""
    if not any(one.macs for one in stages(report)):
        return None
    batch = report.final.batch_size
    return "MACs" if batch in (None, 1) else f"MACs of {batch:,} samples"


def models(report: Report) -> tuple[CandidateRecord, ...]:
    """Return what was measured, the final model last; if only one model was benched, that is all."""
    final = report.final
    return *(one for one in report.references.values() if one.name != final.name), final


def speed_claim(speedup: Speedup) -> str:
    """Return the speedup as words; a difference is claimed only where it is beyond the noise."""
    times = f"{ratio(speedup.median)} as fast as {plain(speedup.vs)} ({between(control.credible(speedup), ratio)})"
    if control.beyond_noise(speedup):
        return times
    if control.distrusted(speedup):
        return f"Speed against {plain(speedup.vs)} not decided by this run"
    if control.hidden(speedup):
        copies = f"two copies of one model differed by up to {percent(speedup.noise_floor, 0)}"
        return f"Too noisy to tell, with {times} where {copies}"
    return f"No measurable difference in speed from {plain(speedup.vs)}"


def compared(report: Report) -> CandidateRecord:
    """Return the candidate that the report's speedup counts against."""
    return report.references.get(report.speedup.vs, report.baseline)


def figures(report: Report) -> tuple[Figure, ...]:
    """Return the headline figures, the most wanted first."""
    final, base = report.final, compared(report)
    return (
        Figure("Speedup", ratio(report.speedup.median), _speedup_detail(report.speedup)),
        *_passes_figure(report),
        *(_latency_figure(name, final, base) for name in ("p50", "p95")),
        Figure("Size", size(final.size_bytes), f"{base.name} {size(base.size_bytes)}"),
        *_quality_figures(report),
        Figure("Throughput", f"{number(final.throughput_per_s)} /s", f"{base.name} {number(base.throughput_per_s)} /s"),
        Figure("Peak memory", size(final.peak_rss_bytes), f"{base.name} {size(base.peak_rss_bytes)}"),
    )


def percentile(latency: Latency, name: str) -> str:
    """Return a percentile as text; ``latency.reasons`` says why one is not given."""
    value = getattr(latency, name)
    return "not given" if value is None else ms(value)


def metric_name(report: Report) -> str:
    """Return the recipe's metric in words: of ``./file.py:function`` the function, of a package the class."""
    accuracy = report.final.accuracy or report.baseline.accuracy
    return plain(re.split("[:.]", accuracy.metric)[-1]).replace("_", " ") if accuracy is not None else "metric"


def score(accuracy: Accuracy) -> str:
    """Return the metric's value: percent for a share of samples, else a decimal."""
    return metric_value(accuracy.value, accuracy.metric)


def metric_value(value: float, metric: str) -> str:
    """Return a value of ``metric`` as text."""
    return percent(value, 2) if metric in PERCENT_METRICS else _signed(value, 4)


def number(value: float) -> str:
    """Return three significant digits, and whole numbers from a hundred on."""
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".") if value else "0"


def exact(value: float) -> str:
    """Return a value that is compared with a limit: four significant digits, no zeros added."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value or 0.0:.4g}"


def counted(count: int) -> str:
    """Return a count of anything: with separators, from a million on as ``4.94 M``."""
    return macs(count) if count >= 1_000_000 else f"{count:,}"


def ms(value: float) -> str:
    """Return milliseconds."""
    return f"{number(value)} ms"


def ratio(value: float) -> str:
    """Return a speedup: two decimals, fewer where they would say nothing."""
    return f"{value:,.{2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0}f}x"


def percent(share: float, digits: int) -> str:
    """Return a share of one as a percentage."""
    return f"{_signed(100 * share, digits)} %"


def points(value: float) -> str:
    """Return percentage points."""
    return f"{_signed(value, 2)} pt"


def _signed(value: float, digits: int) -> str:
    """Return decimals; what rounds to zero has no sign."""
    return f"{round(value, digits) or 0.0:.{digits}f}"


def size(bytes_: int) -> str:
    """Return a size in decimal units, as the gates count them."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if bytes_ >= scale:
            return f"{number(bytes_ / scale)} {unit}"
    return f"{bytes_} B"


def macs(count: int) -> str:
    """Return a number of multiplications."""
    for unit, scale in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= scale:
            return f"{number(count / scale)} {unit}"
    return str(count)


def between(interval: Interval, text: Callable[[float], str]) -> str:
    """Return an interval, each end written by ``text``."""
    low, high = interval
    return f"{text(low)} to {text(high)}"


def shorten(text: str, length: int) -> str:
    """Return at most ``length`` characters of ``plain`` text."""
    clean = plain(text)
    return clean if len(clean) <= length else clean[: length - 1] + "…"


def short_name(text: str, length: int) -> str:
    """Return at most ``length`` characters of a model's name; of a path the end, which tells it from others."""
    clean = plain(text)
    return "…" + clean[1 - length :] if "/" in clean and len(clean) > length else shorten(clean, length)


def upper_first(text: str) -> str:
    """Return text that begins a line."""
    return text[:1].upper() + text[1:]


def _speedup_detail(speedup: Speedup) -> str:
    if speedup.ci95 == (1.0, 1.0):
        return f"the same model as {speedup.vs}; noise floor {percent(speedup.noise_floor, 1)}"
    doubt = "not to be trusted: " if control.distrusted(speedup) and not control.slight(speedup) else ""
    return f"{doubt}{between(speedup.ci95, ratio)} against {speedup.vs}; noise floor {percent(speedup.noise_floor, 1)}"


def _passes_figure(report: Report) -> list[Figure]:
    """The speedup without the merit of the runtime."""
    found = report.speedups.get(FASTEST)
    if found is None or report.speedup.vs == FASTEST:
        return []
    return [Figure("Speedup by the passes", ratio(found.median), _speedup_detail(found))]


def _latency_figure(name: str, final: CandidateRecord, base: CandidateRecord) -> Figure:
    value = getattr(final.latency_ms, name)
    interval = final.latency_ms.ci95.get(name)
    if value is None:
        return Figure(f"Latency {name}", "not given", final.latency_ms.reasons.get(name, "no reason recorded"))
    span = f"{between(interval, ms)}; " if interval else ""
    return Figure(f"Latency {name}", ms(value), f"{span}{base.name} {percentile(base.latency_ms, name)}")


def _quality_figures(report: Report) -> list[Figure]:
    found = []
    accuracy, drop, fidelity = report.final.accuracy, report.accuracy_drop, report.final.fidelity
    if accuracy is not None:
        span = between(accuracy.ci95, partial(metric_value, metric=accuracy.metric))
        found.append(Figure(upper_first(metric_name(report)), score(accuracy), f"{span}, n = {accuracy.n:,}"))
    if drop is not None:
        detail = f"{between(drop.ci95, points)} against {drop.vs}; {drop.disagreements:,} of {drop.n:,} samples differ"
        found.append(Figure(f"{upper_first(metric_name(report))} drop", points(drop.pt), detail))
    if fidelity is not None:
        found.append(_fidelity_figure(fidelity))
    return found


def _fidelity_figure(fidelity: Fidelity) -> Figure:
    sqnr = "equal outputs" if fidelity.sqnr_db is None else f"SQNR {fidelity.sqnr_db:.1f} dB"
    size = "" if fidelity.sqnr_db is None else f" (error {percent(fidelity.relative_error, 1)} of the outputs)"
    detail = f"{sqnr}{size}, largest difference {number(fidelity.max_abs)}, n = {fidelity.n:,}"
    if fidelity.matched is not None:
        detail += f", {fidelity.matched:.1%} of the detections matched"
    return Figure("Cosine", f"{fidelity.cosine:.5f}", detail)
