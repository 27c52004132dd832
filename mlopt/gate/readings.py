"""How each metric that a gate may limit is read from a report.

A figure comes with the interval at the gate's own confidence. At 95 % that is the report's; at any other it is computed
again, from the raw samples or from the counts in the report.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from mlopt.core.errors import GateError, MeasureError
from mlopt.gate import stored
from mlopt.gate.evidence import Evidence, Question, Read, rounds
from mlopt.gate.vocabulary import METRICS, SERVING, did_you_mean
from mlopt.measure import statistics
from mlopt.report import change, control
from mlopt.report.change import ALPHA
from mlopt.report.estimate import Estimate
from mlopt.results.figures import AccuracyDrop, Fidelity, Latency, OutputFidelity, Speedup
from mlopt.results.report import CandidateRecord, Report
from mlopt.results.section import Interval

_Z = 1.96
_NO_METRIC = "give the recipe a `metric` and `data.evaluation`, or leave this gate out"


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
    found = report.speedup if asked.reference is None else report.speedups.get(asked.reference)
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


def _multiple(asked: Question, figure: Callable[[CandidateRecord], int]) -> Evidence:
    """Read a figure of the final model as a multiple of a reference's, of the same run."""
    _refuse_one_alone(asked.report, "a ratio")
    report, vs = asked.report, asked.reference or asked.report.baseline.name
    references = {report.baseline.name: report.baseline, **report.references}
    if vs not in references:
        raise GateError(f"nothing named '{vs}' was measured", fix=did_you_mean(vs, references))
    base = figure(references[vs])
    if base <= 0:
        return Evidence(None, missing=f"the figure of {vs} is not a positive number", remedy="measure again")
    return Evidence(figure(report.final) / base)


def _exact(figure: Callable[[CandidateRecord], float]) -> Read:
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


def _matched(asked: Question) -> Evidence:
    found = asked.report.final.fidelity
    if found is None or found.matched is None:
        raise GateError(
            "no detections were matched", got="outputs of fixed size, or that hold no boxes",
            fix="leave this gate out; fidelity.cosine judges any output",
        )  # fmt: skip
    return Evidence(found.matched, n=found.n)


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


def _under_load(asked: Question) -> Evidence:
    raise GateError(
        "the report of a model says nothing of a server under load", got=asked.report.name,
        fix="put load on the server: mlopt loadtest URL --gate LIMIT",
    )  # fmt: skip


READINGS: Mapping[str, Read] = {
    "latency.p50_ms": _percentile("p50"),
    "latency.p90_ms": _percentile("p90"),
    "latency.p95_ms": _percentile("p95"),
    "latency.p99_ms": _percentile("p99"),
    "latency.p99.9_ms": _percentile("p999"),
    "latency.mean_ms": _percentile("mean"),
    "throughput_per_s": _throughput,
    "speedup.median": _speedup,
    "cold_start.load_ms": _cold("load_ms"),
    "cold_start.first_ms": _cold("first_ms"),
    "size_mb": _exact(lambda final: final.size_bytes / 1e6),
    "size.ratio": _size_ratio,
    "peak_rss_mb": _exact(lambda final: final.peak_rss_bytes / 1e6),
    "peak_rss.ratio": _rss_ratio,
    "accuracy.value": _accuracy,
    "accuracy.drop_pt": _drop,
    "fidelity.cosine": _fidelity(lambda found: found.cosine),
    "fidelity.sqnr_db": _fidelity(_sqnr),
    "fidelity.relative_error": _fidelity(lambda found: found.relative_error, _loudest),
    "fidelity.shift": _fidelity(_shift, _shifted),
    "fidelity.worst_part": _fidelity(_worst_part, lambda found: found.part),
    "fidelity.max_abs": _fidelity(lambda found: found.max_abs),
    "fidelity.matched": _matched,
    **{name: _under_load for name in METRICS if name.startswith(SERVING)},
    "run.quick": lambda asked: Evidence(float(asked.report.effort is not None and asked.report.effort.quick)),
}
"""For each metric of the vocabulary."""
