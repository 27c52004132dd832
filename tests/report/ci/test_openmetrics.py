"""OpenMetrics: Prometheus' own parser reads it, GitLab's reader reads it, and the figures are the report's."""

from __future__ import annotations

import math
import re
import shlex

from ci_reports import BROKEN, MET, NASTY, TEXTS, UNDECIDED, judged
from gate_evidence import LATENCY
from hypothesis import given
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from mlopt.report.ci import openmetrics
from mlopt.results.report import Report


def series(report: Report) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample, by name and labels; a parser's complaint is a failure."""
    families = list(text_string_to_metric_families(openmetrics.render(report)))
    samples = [sample for family in families for sample in family.samples]
    found = {(one.name, frozenset(one.labels.items())): one.value for one in samples}
    assert len(found) == len(samples)
    return found


def value(report: Report, name: str, **labels: str) -> float:
    return series(report)[name, frozenset({"model": "digits", **labels}.items())]


def test_figures_are_in_base_units():
    report = judged(MET)
    assert value(report, "mlopt_latency_seconds", candidate="final", quantile="0.95") == 0.012
    assert value(report, "mlopt_latency_seconds_count", candidate="final") == 1000
    assert math.isclose(value(report, "mlopt_latency_seconds_sum", candidate="final"), 10.2)
    assert value(report, "mlopt_model_size_bytes", candidate="onnx_fp32") == 4_300_000
    assert value(report, "mlopt_speedup_ratio", vs="torch_eager") == 3.0
    assert value(report, "mlopt_speedup_low_ratio", vs="onnx_fp32") == 1.31
    assert value(report, "mlopt_accuracy_drop", vs="onnx_fp32") == 0.001
    assert value(report, "mlopt_accuracy", candidate="final", metric="accuracy") == 0.98


def test_types_and_units_are_declared():
    families = {one.name: one for one in text_string_to_metric_families(openmetrics.render(judged(MET)))}
    latency, memory = families["mlopt_latency_seconds"], families["mlopt_peak_memory_bytes"]
    assert (latency.type, latency.unit) == ("summary", "seconds")
    assert (memory.type, memory.unit) == ("gauge", "bytes")
    assert all(one.documentation for one in families.values())


def test_verdicts_are_states():
    report = judged(MET, UNDECIDED, BROKEN)
    assert value(report, "mlopt_verdict_state") == 2
    assert value(report, "mlopt_gate_state", metric="accuracy.drop_pt", limit="<= 0.5") == 1
    assert value(report, "mlopt_gate_state", metric="speedup.median", limit=">= 1.2 vs onnx_fp32") == 0


def test_of_two_gates_with_one_text_the_worse_stands():
    worse = MET.model_copy(update={"verdict": "fail"})
    assert value(judged(worse, MET), "mlopt_gate_state", metric=MET.metric, limit=MET.limit) == 2


def test_what_was_not_measured_is_left_out():
    report = judged(MET, accuracy_drop=None)
    final = report.final.model_copy(update={"accuracy": None, "fidelity": None})
    report = report.model_copy(update={"final": final, "baseline": final, "references": {}})
    names = {name for name, _ in series(report)}
    assert not names & {"mlopt_accuracy", "mlopt_accuracy_drop", "mlopt_fidelity_cosine"}
    assert not any(("quantile", "0.999") in labels for _, labels in series(report))


def test_what_no_float_holds_is_left_out():
    report = judged(MET)
    huge = LATENCY.model_copy(update={"mean": 1e308, "n": 10**7})
    final = report.final.model_copy(update={"size_bytes": 10**400, "latency_ms": huge})
    found = series(report.model_copy(update={"final": final}))
    assert all(map(math.isfinite, found.values()))
    key = frozenset({("model", "digits"), ("candidate", "final")})
    assert ("mlopt_model_size_bytes", key) not in found
    assert ("mlopt_latency_seconds_sum", key) not in found


@given(TEXTS)
def test_any_name_is_read_by_both(name: str):
    gates = [one.model_copy(update={"metric": name, "limit": name}) for one in (MET, BROKEN)]
    assert_both_read(judged(*gates, name=name))


def test_a_nasty_name_is_read_by_both():
    assert_both_read(judged(MET.model_copy(update={"limit": NASTY}), name=NASTY))


def assert_both_read(report: Report) -> None:
    assert gitlab(openmetrics.render(report)) == list(series(report).values())


def gitlab(text: str) -> list[float]:
    """The values as GitLab reads them: a line up to ``#``, in words as a shell has them, name and value the first."""
    rows = [shlex.split(re.sub("#.*$", "", line)) for line in text.splitlines()]
    assert all(len(row) == 2 for row in rows if row)
    return [float(row[1]) for row in rows if row]
