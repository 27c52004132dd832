"""What gates may limit: for each metric, how to read it from a report, and what helps when it is not what was wanted.

A figure comes with the interval at the gate's own confidence. At 95 % that is the report's; at any other it is computed
again, from the raw samples or from the counts in the report.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from mlopt.errors import GateError, MeasureError
from mlopt.gate import stored
from mlopt.gate.evidence import Evidence, Metric, Question, Read, did_you_mean, rounds
from mlopt.measure import statistics
from mlopt.report import change, control
from mlopt.report.change import ALPHA, Estimate
from mlopt.report.schema import AccuracyDrop, Candidate, Fidelity, Interval, Latency, OutputFidelity, Report, Speedup


def _percentile(key: str) -> Read:
    def read(asked: Question) -> Evidence:
        final = asked.report.final
        latency = _latency(asked)
        value: float | None = getattr(latency, key)
        rests_on = frozenset({final.name})
        if value is None or key not in latency.ci95:
            why = latency.reasons.get(key, "the report gives no interval")
            return Evidence(None, n=latency.n, missing=why, rests_on=rests_on)
        return Evidence(value, latency.ci95[key], latency.n, rests_on=rests_on)

    return read


def _latency(asked: Question) -> Latency:
    final = asked.report.final
    if not asked.recomputes:
        return final.latency_ms
    found = statistics.latency(asked.blocks(final.name), asked.alpha)
    if found.n != final.latency_ms.n:
        raise GateError(
            "the raw samples are not those of the report", got=f"n = {found.n}", expected=f"n = {final.latency_ms.n}",
            fix="keep report.json and samples.json of one run together",
        )  # fmt: skip
    return found


def _throughput(asked: Question) -> Evidence:
    """Read samples per second: their interval is that of the mean latency, turned over."""
    final, latency = asked.report.final, _latency(asked)
    rests_on = frozenset({final.name})
    ends = latency.ci95.get("mean")
    if ends is None or min(*ends, latency.mean) <= 0:
        why = latency.reasons.get("mean", "the report gives no interval")
        return Evidence(None, n=latency.n, missing=why, rests_on=rests_on)
    scaled = final.throughput_per_s * latency.mean
    return Evidence(final.throughput_per_s, (scaled / ends[1], scaled / ends[0]), latency.n, rests_on=rests_on)


def _speedup(asked: Question) -> Evidence:
    """Read the speedup against a reference of this run, or of the final model against a stored report's."""
    report, old = asked.report, asked.stored()
    _refuse_one_alone(report, "a speedup")
    if old is not None:
        return stored.speedup(asked, old)
    found = report.speedup if asked.vs is None else report.speedups.get(asked.vs)
    if found is None:
        raise GateError(f"nothing named '{asked.vs}' was measured", fix=did_you_mean(str(asked.vs), report.speedups))
    rests_on = frozenset({found.vs, report.baseline.name, report.final.name})
    if found.ci95 == (1.0, 1.0) and control.is_same(report, found.vs):
        return Evidence(1.0, (1.0, 1.0), rounds(report), "rounds", of=f"the same model as {found.vs}")
    try:
        value, interval = _ratio(asked, found)
    except MeasureError as error:
        why = f"a confidence of {asked.confidence:.6g} takes {error.problems[0].expected}"
        return Evidence(None, n=rounds(report), unit="rounds", missing=why, rests_on=rests_on)
    return Evidence(
        value, interval, rounds(report), "rounds", doubt=control.doubt(found, "this run"), rests_on=rests_on,
        reach=control.reach(found), noise=found.noise_floor if found.control is None else None,
        noise_floor=found.noise_floor,
    )  # fmt: skip


def _refuse_one_alone(report: Report, what: str) -> None:
    if change.is_alone(report):
        raise GateError(
            f"the report is of one model alone, and {what} compares two", got=report.final.name,
            fix="measure what it is compared with beside it: mlopt bench MODEL --against OTHER",
        )  # fmt: skip


def _ratio(asked: Question, found: Speedup) -> Estimate:
    if not asked.recomputes:
        return found.median, found.ci95
    base, final = asked.blocks(found.vs), asked.blocks(asked.report.final.name)
    middle, low, high = statistics.speedup(base, final, asked.alpha)
    return middle, (low, high)


def _accuracy(asked: Question) -> Evidence:
    found = asked.report.final.accuracy
    if found is None:
        raise GateError("no accuracy was measured", fix=_NO_METRIC)
    value, interval = change.accuracy_at(found, asked.confidence)
    return Evidence(value, interval, found.n)


def _drop(asked: Question) -> Evidence:
    old, final = asked.stored(), asked.report.final.accuracy
    if old is not None and final is not None:
        return stored.drop(asked, old, final.n)
    found = asked.report.accuracy_drop
    if found is None:
        raise GateError("no accuracy drop was measured", fix=_NO_METRIC)
    if asked.vs not in {None, found.vs}:
        raise GateError(
            "the drop was measured against another model", got=asked.vs, expected=found.vs, fix="leave `vs` out"
        )
    # Scores between 0 and 1 differ by less than a whole hit; their interval shows how much each sample carries.
    n, error = max(found.n, 1), abs(found.ci95[1] - found.ci95[0]) / 200 / _Z
    share = min(max(found.disagreements, 1) / n, n * error * error)
    return Evidence(found.pt, _drop_interval(found, asked), found.n, disagreement=share)


def _drop_interval(drop: AccuracyDrop, asked: Question) -> Interval:
    if not asked.recomputes:
        return drop.ci95
    alpha = 1 - asked.confidence
    if drop.lost is not None and drop.gained is not None:
        low, high = statistics.tango(drop.lost, drop.gained, drop.n, alpha)
        return 100 * low, 100 * high
    return statistics.rescaled(drop.pt, drop.ci95, drop.n, ALPHA, alpha)


def _size_ratio(asked: Question) -> Evidence:
    old = asked.stored()
    if old is not None:
        return stored.size(asked, old)
    return _multiple(asked, lambda one: one.size_bytes)


def _rss_ratio(asked: Question) -> Evidence:
    old = asked.stored()
    if old is not None:
        return stored.rss(asked, old)
    return _multiple(asked, lambda one: one.peak_rss_bytes)


def _multiple(asked: Question, figure: Callable[[Candidate], int]) -> Evidence:
    """Read a figure of the final model as a multiple of a reference's, of the same run."""
    _refuse_one_alone(asked.report, "a ratio")
    report, vs = asked.report, asked.vs or asked.report.baseline.name
    references = {report.baseline.name: report.baseline, **report.references}
    if vs not in references:
        raise GateError(f"nothing named '{vs}' was measured", fix=did_you_mean(vs, references))
    base = figure(references[vs])
    if base <= 0:
        return Evidence(None, missing=f"the figure of {vs} is not a positive number", remedy="measure again")
    return Evidence(figure(report.final) / base)


def _exact(figure: Callable[[Candidate], float]) -> Read:
    return lambda asked: Evidence(figure(asked.report.final))


def _cold(key: str) -> Read:
    def read(asked: Question) -> Evidence:
        found = asked.report.final.cold_start
        if found is None:
            raise GateError("the cold start was not measured", fix="measure again: this report is of mlopt 0.1")
        return Evidence(getattr(found, key))

    return read


def _fidelity(figure: Callable[[Fidelity], float], of: Callable[[Fidelity], str | None] = lambda _: None) -> Read:
    def read(asked: Question) -> Evidence:
        found = asked.report.final.fidelity
        if found is None:
            raise GateError(
                "fidelity was not measured", fix="give evaluation or calibration data to compare outputs on"
            )
        return Evidence(figure(found), n=found.n, of=of(found))

    return read


def _sqnr(found: Fidelity) -> float:
    return math.inf if found.sqnr_db is None else found.sqnr_db


def _shift(found: Fidelity) -> float:
    return _known(found.shift)


def _loudest(found: Fidelity) -> str | None:
    return _worst_output(found, lambda one: -math.inf if one.sqnr_db is None else -one.sqnr_db)


def _shifted(found: Fidelity) -> str | None:
    return _worst_output(found, lambda one: one.shift)


def _worst_output(found: Fidelity, figure: Callable[[OutputFidelity], float]) -> str | None:
    """Name the output that a figure is of, where there are several."""
    if len(found.outputs) < 2:
        return None
    return f"output '{max(found.outputs, key=lambda name: figure(found.outputs[name]))}'"


def _worst_part(found: Fidelity) -> float:
    return _known(found.worst_part)


def _known(figure: float | None) -> float:
    if figure is None:
        raise GateError("the report does not say it: an older mlopt made it", fix="make the report again")
    return figure


_Z = 1.96
_NO_METRIC = "give the recipe a `metric` and `data.evaluation`, or leave this gate out"
_LONGER = "measure longer (`measure.seconds` and `measure.max_time`; `mlopt bench --max-time`), or on a quieter machine"
_SAMPLES = "evaluate on more samples"
_FASTER = "a faster model"
_MILDER = "a milder lossy step (more calibration samples, sensitive nodes left out), or none"
_UNSCALED = "leave out the step that changed the outputs' scale or offset (`mlopt bisect RECIPE` names its nodes)"
_SMALLER = "quantized weights, or a smaller model"

METRICS: Mapping[str, Metric] = {
    "latency.p50_ms": Metric(_percentile("p50"), _FASTER, _LONGER, of_speed=True),
    "latency.p90_ms": Metric(_percentile("p90"), _FASTER, _LONGER, of_speed=True),
    "latency.p95_ms": Metric(_percentile("p95"), _FASTER, _LONGER, of_speed=True),
    "latency.p99_ms": Metric(_percentile("p99"), _FASTER, _LONGER, of_speed=True),
    "latency.p99.9_ms": Metric(_percentile("p999"), _FASTER, _LONGER, of_speed=True),
    "latency.mean_ms": Metric(_percentile("mean"), _FASTER, _LONGER, of_speed=True),
    "throughput_per_s": Metric(_throughput, _FASTER, _LONGER, of_speed=True),
    "speedup.median": Metric(_speedup, _FASTER, _LONGER, takes_vs=True, of_speed=True),
    "cold_start.load_ms": Metric(_cold("load_ms"), _SMALLER),
    "cold_start.first_ms": Metric(_cold("first_ms"), _FASTER),
    "size_mb": Metric(_exact(lambda final: final.size_bytes / 1e6), _SMALLER),
    "size.ratio": Metric(_size_ratio, _SMALLER, takes_vs=True),
    "peak_rss_mb": Metric(_exact(lambda final: final.peak_rss_bytes / 1e6), _SMALLER),
    "peak_rss.ratio": Metric(_rss_ratio, _SMALLER, takes_vs=True),
    "accuracy.value": Metric(_accuracy, _MILDER, _SAMPLES),
    "accuracy.drop_pt": Metric(_drop, _MILDER, _SAMPLES, takes_vs=True),
    "fidelity.cosine": Metric(_fidelity(lambda found: found.cosine), _MILDER),
    "fidelity.sqnr_db": Metric(_fidelity(_sqnr), _MILDER),
    "fidelity.relative_error": Metric(_fidelity(lambda found: found.relative_error, _loudest), _MILDER),
    "fidelity.shift": Metric(_fidelity(_shift, _shifted), _UNSCALED),
    "fidelity.worst_part": Metric(_fidelity(_worst_part, lambda found: found.part), _MILDER),
    "fidelity.max_abs": Metric(_fidelity(lambda found: found.max_abs), _MILDER),
}
"""Every name that a gate may use, in the order in which they are listed to people."""
