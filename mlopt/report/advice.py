"""What to do about a gate that failed, from what was measured alone: what costs most, and what would have met it.

Terminal, Markdown, annotations and JUnit all say what ``sentences`` returns. Nothing is said of a setting whose figure
was not measured; one "would meet" a limit only if its whole interval does, where it has one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mlopt.core.foreign_text import plain
from mlopt.report import facts, trust
from mlopt.report.estimate import Estimate
from mlopt.report.options import in_words
from mlopt.report.settings import Aspect, MeasuredSetting, kept, lossy, settings, slower
from mlopt.results.report import GateVerdict, Report, StepRecord

_OPERATORS = 3
_LEAST_SHARE = 0.01
_REASON_LENGTH = 160
_MOST = 100
"""So many failed gates are advised on: a report of a stranger may hold more."""


@dataclass(frozen=True)
class _Way:
    """A setting with the figure that a gate limits, and whether that keeps the limit."""

    setting: MeasuredSetting
    value: float
    text: str
    meets: bool


def advised(report: Report) -> Report:
    """Return the report with what to do about each gate that failed at the end of its message."""
    told = sentences(report)
    gates = (
        gate.model_copy(update={"message": " ".join((_ended(gate.message), *more))}) if more else gate
        for gate, more in zip(report.gates, told, strict=True)
    )
    return report.model_copy(update={"gates": tuple(gates)}) if any(told) else report


def _ended(words: str) -> str:
    return words if words.endswith((".", "!", "?")) else f"{words}."


def sentences(report: Report) -> tuple[tuple[str, ...], ...]:
    """Return for each gate what to do about it, a sentence each; nothing for one that did not fail."""
    failed = [index for index, gate in enumerate(report.gates) if gate.verdict == "fail"][:_MOST]
    others = settings(report) if failed else ()
    said = {index: tuple(_said(report, report.gates[index], others)) for index in failed}
    return tuple(said.get(index, ()) for index in range(len(report.gates)))


def _said(report: Report, gate: GateVerdict, others: Sequence[MeasuredSetting]) -> Iterator[str]:
    aspect, limit = _aspect(gate.metric), trust.limit(gate)
    if gate.value is None or aspect is None or limit is None:
        return
    yield from _COSTS[aspect](report, gate.metric)
    ways = [*_ways(report, gate, limit, others)]
    best = _best(ways, gate, limit[0], aspect)
    if best is None:
        if ways:
            several = f"Not one of the {len(ways)} other settings that were measured comes nearer."
            yield "The one other setting that was measured comes no nearer." if len(ways) == 1 else several
        return
    told = best.setting.told
    told += f", in {in_words(best.setting.tried, report)}," if best.setting.tried else ""
    nearest = f"Nothing that was measured meets it; nearest is {told} at {best.text}"
    would = f"{facts.upper_first(told)} would meet it, at {best.text}"
    yield f"{would if best.meets else nearest}{_but(report, best)}."
    how = best.setting.how.get(aspect)
    if how and best.setting.objection is None:
        yield f"To get it, {how}."


def _best(ways: Sequence[_Way], gate: GateVerdict, side: str, aspect: Aspect) -> _Way | None:
    """Return what meets the gate at the least price, else what is nearest to it; None if nothing is surely nearer."""
    sign = 1 if side == ">=" else -1
    reached = max(sign * each for each in (gate.value, *(gate.interval or gate.ci95 or ())) if each is not None)
    meeting = [way for way in ways if way.meets]
    if meeting:
        return min(meeting, key=lambda way: (way.setting.objection is not None, _price(way, aspect)))
    nearer = [way for way in ways if sign * way.value > reached]
    return max(nearer, key=lambda way: (way.setting.objection is None, sign * way.value), default=None)


def _aspect(metric: str) -> Aspect | None:
    if metric.startswith(("latency.", "speedup.")) or metric == "throughput_per_s":
        return "speed"
    if metric.startswith(("accuracy.", "fidelity.")):
        return "quality"
    return "size" if metric in ("size_mb", "size.ratio") else None


def _time_goes_to(report: Report, _: str) -> Iterator[str]:
    """Say which operators take the most time of what is shipped, and which kept step made it slower."""
    found = report.operators.get(report.final.name, ())
    whole = sum(one.ms for one in found)
    most = sorted((one for one in found if one.ms > _LEAST_SHARE * whole), key=lambda one: -one.ms)[:_OPERATORS]
    if most and math.isfinite(whole):
        parts = (f"{plain(one.op_type)} ({facts.ms(one.ms)}, {facts.percent(one.ms / whole, 0)})" for one in most)
        yield f"Of its operators, the most time goes to {_listed([*parts])}."
    before = report.baseline.latency_ms
    for _number, step in kept(report):
        if step.latency_ms is not None:
            if slower(before, step.latency_ms):
                was, now = (facts.percentile(one, "p50") for one in (before, step.latency_ms))
                yield f"{plain(step.name)} made it slower: {was} before it, {now} after it."
            before = step.latency_ms


def _lost_most(report: Report, of: str) -> Iterator[str]:
    """Name the kept step that lost most: of the metric, else of the outputs."""
    falls, before = [], report.baseline.accuracy
    for _, step in kept(report):
        if step.accuracy is not None:
            if before is not None and step.accuracy.value < before.value:
                falls.append((before.value - step.accuracy.value, step, before))
            before = step.accuracy
    if falls and of.startswith("accuracy."):
        _, step, was = max(falls, key=lambda each: each[0])
        after = facts.score(step.accuracy) if step.accuracy else ""
        metric = facts.metric_name(report)
        yield f"{plain(step.name)} lost most: {metric} {facts.score(was)} before it, {after} after it."
        return
    changed = [step for _, step in kept(report) if lossy(step.parity)]
    if changed:
        yield _changed_most(min(changed, key=_sqnr))


def _changed_most(step: StepRecord) -> str:
    cosine = f"cosine {step.parity.cosine:.5f}, " if step.parity else ""
    return (
        f"{plain(step.name)} changed the outputs most: {cosine}SQNR {_sqnr(step):.1f} dB against the model before it."
    )


def _sqnr(step: StepRecord) -> float:
    found = step.parity.sqnr_db if step.parity else None
    return math.inf if found is None else found


def _grew(report: Report, _: str) -> Iterator[str]:
    before = report.baseline.size_bytes
    for _number, step in kept(report):
        if step.size_bytes is not None:
            if step.size_bytes > before:
                was, now = facts.size(before), facts.size(step.size_bytes)
                yield f"{plain(step.name)} made it larger: {was} before it, {now} after it."
            before = step.size_bytes


_COSTS: Mapping[Aspect, Callable[[Report, str], Iterator[str]]] = {
    "speed": _time_goes_to, "quality": _lost_most, "size": _grew,
}  # fmt: skip


def _but(report: Report, way: _Way) -> str:
    against = way.setting.objection
    if against is None:
        return ""
    said = facts.shorten(against, _REASON_LENGTH).rstrip(".")
    gate = any(against.startswith(one.metric) for one in report.gates)
    return f", but {said}" + ("; it is shipped where that gate allows it" if gate else "")


def _price(way: _Way, aspect: Aspect) -> float:
    """Return what orders those that meet a gate: the most faithful where speed is wanted, else the fastest."""
    one = way.setting
    if aspect == "speed":
        return -one.quality.get("fidelity.cosine", one.accuracy.value if one.accuracy else 0.0)
    return math.inf if one.ms is None else one.ms


def _ways(
    report: Report, gate: GateVerdict, limit: tuple[str, float], others: Sequence[MeasuredSetting]
) -> Iterator[_Way]:
    for setting in others:
        found = _figure(report, gate, setting)
        if found is None or math.isnan(found[0]):
            continue
        value, (low, high) = found
        meets = low >= limit[1] if limit[0] == ">=" else high <= limit[1]
        interval = "" if low == high else f" [{low:.5g}, {high:.5g}]"
        text = f"{round(value, 9) + 0.0:.5g}{interval}" if math.isfinite(value) else "equal outputs"
        yield _Way(setting, value, text, meets)


def _figure(report: Report, gate: GateVerdict, setting: MeasuredSetting) -> Estimate | None:
    """Return what a gate limits, of a setting; without an interval both ends are the figure. None: not measured."""
    if gate.metric.startswith("latency.") or gate.metric == "throughput_per_s":
        return _latency(report, gate.metric, setting)
    if gate.metric == "speedup.median":
        return _speedup(report, gate, setting)
    if gate.metric.startswith(("accuracy.", "fidelity.")):
        return _accuracy(report, gate, setting) or _point(setting.quality.get(gate.metric))
    if setting.size_bytes is None or gate.value is None:
        return None
    ratio = setting.size_bytes / max(report.final.size_bytes, 1)
    return _point(setting.size_bytes / 1e6 if gate.metric == "size_mb" else gate.value * ratio)


def _latency(report: Report, metric: str, setting: MeasuredSetting) -> Estimate | None:
    one, final = setting.latency, report.final
    if metric == "throughput_per_s":
        return _point(final.throughput_per_s * final.latency_ms.mean / one.mean) if one and one.mean > 0 else None
    key = metric.removeprefix("latency.").removesuffix("_ms").replace(".", "")
    value = getattr(one, key, None) if one else setting.ms if key == "p50" else None
    return _point(value, one.ci95.get(key) if one else None)


def _speedup(report: Report, gate: GateVerdict, setting: MeasuredSetting) -> Estimate | None:
    """Return the speedup against what the gate compares with: through the baseline, which all were measured beside."""
    whole = report.speedup.median
    if setting.speedup is None or whole <= 0 or gate.value is None:
        return None
    direct = math.isclose(gate.value, whole)
    return _point(gate.value * setting.speedup / whole, setting.ci95 if direct else None)


def _accuracy(report: Report, gate: GateVerdict, setting: MeasuredSetting) -> Estimate | None:
    found, final = setting.accuracy, report.final.accuracy
    if found is None or final is None or gate.value is None or gate.metric.startswith("fidelity."):
        return None
    if found.metric != final.metric:
        return None
    if gate.metric == "accuracy.value":
        return found.value, found.ci95
    return _point(gate.value + 100 * (final.value - found.value))


def _point(value: float | None, interval: tuple[float, float] | None = None) -> Estimate | None:
    return None if value is None else (value, interval or (value, value))


def _listed(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
