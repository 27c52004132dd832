from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest
from gate_evidence import DATA, ENVIRONMENT, LATENCY, SPEEDUP, candidate, report
from tried_example import tried_report, without_choice

from mlopt.report.difference import Row, compare
from mlopt.results.figures import ColdStart, Fidelity
from mlopt.results.report import Cpu, Report

COLD = {"cold_start": ColdStart(load_ms=40, first_ms=15)}


def rows(old: Report, new: Report) -> dict[str, Row]:
    return {row.metric: row for row in compare(old, new).rows}


def latency(factor: float) -> Any:
    """LATENCY with every figure times ``factor``."""
    figures = LATENCY.model_dump()
    for key in ("p50", "p90", "p95", "p99", "mean"):
        figures[key] *= factor
        figures["ci95"][key] = tuple(end * factor for end in figures["ci95"][key])
    return LATENCY.model_validate(figures)


def test_a_report_does_not_differ_from_itself():
    found = compare(report(final=COLD), report(final=COLD))
    assert found.environment == ()
    assert {row.metric: row.verdict for row in found.rows if row.verdict != "same"} == {
        "cold_start.load_ms": "unknown", "cold_start.first_ms": "unknown",
    }  # fmt: skip
    assert all(row.old == row.new for row in found.rows)
    json.dumps([asdict(row) for row in found.rows], allow_nan=False)


def test_what_is_faster_is_better():
    quick = SPEEDUP.model_copy(update={"median": 2.72, "ci95": (2.62, 2.84)})
    found = rows(report(), report(final={"latency_ms": latency(0.5), "throughput_per_s": 196.0}, speedup=quick))
    assert found["latency.p50_ms"].verdict == "better"
    assert found["latency.p50_ms"].change == "0.500x"
    assert found["throughput_per_s"].verdict == "better"
    assert found["throughput_per_s"].change == "2.000x"
    assert found["speedup.median"].verdict == "better"
    back = rows(report(final={"latency_ms": latency(0.5)}, speedup=quick), report())
    assert {back[name].verdict for name in ("latency.p50_ms", "latency.p95_ms", "speedup.median")} == {"worse"}


def test_what_chance_explains_is_the_same():
    found = rows(report(), report(final={"latency_ms": latency(1.01)}))["latency.p50_ms"]
    assert (found.verdict, found.reason) == ("same", "no measurable difference")
    assert found.interval[0] < 1 < found.interval[1]


def test_other_hardware_makes_speed_and_memory_unknown_and_quality_not():
    intel = ENVIRONMENT.model_copy(update={"cpu": Cpu(model="Intel Xeon", isa=("avx2",), cores=4)})
    found = rows(report(environment=intel, final={"size_bytes": 8_600_000}), report())
    unknown = {name for name, row in found.items() if row.verdict == "unknown"}
    assert unknown == {name for name in found if name.startswith(("speedup", "latency", "throughput", "peak_rss"))}
    assert "CPU was Intel Xeon, is AMD EPYC 7763" in found["latency.p95_ms"].reason
    assert found["size_mb"].verdict == "better"
    assert found["accuracy.value"].verdict == "same"


def test_a_machine_in_another_state_makes_latency_unknown_and_the_speedup_not():
    """The reference itself took twice as long: a neighbour, or a lower clock."""
    slow = candidate("onnx_fp32", latency_ms=latency(2))
    found = rows(report(), report(baseline=slow, final={"latency_ms": latency(2)}))
    assert found["latency.p50_ms"].verdict == "unknown"
    assert "onnx_fp32, the same model in both, took 2.00 times as long" in found["latency.p50_ms"].reason
    assert "the machine was in another state" in found["latency.p50_ms"].reason
    assert found["speedup.median"].verdict == "same"
    other = {"evaluation": {"source": "x.npz", "samples": 5, "digest": "another"}}
    found = rows(report(), report(baseline=slow, final={"latency_ms": latency(2)}, data=other))
    assert "it was measured on other samples" in found["latency.p50_ms"].reason


def test_a_run_that_its_own_control_refutes_compares_no_speedup():
    bad = report(speedup=SPEEDUP.model_copy(update={"control": (1.1, 1.2)}))
    assert "the old run measured one model twice" in rows(bad, report())["speedup.median"].reason
    assert rows(report(), bad)["speedup.median"].verdict == "unknown"


def test_memory_moves_as_much_as_the_references_by_chance():
    old, base = report(), candidate("onnx_fp32", peak_rss_bytes=220_000_000)
    found = rows(old, report(baseline=base, final={"peak_rss_bytes": 215_000_000}))["peak_rss_mb"]
    assert found.verdict == "same"
    assert rows(old, report(baseline=base, final={"peak_rss_bytes": 300_000_000}))["peak_rss_mb"].verdict == "worse"


def test_without_a_common_reference_nothing_tells_how_memory_moves_by_chance():
    other = candidate("onnx_fp32", digest="f" * 64)
    found = rows(report(), report(baseline=other, final={"peak_rss_bytes": 211_000_000}))["peak_rss_mb"]
    assert (found.verdict, found.interval) == ("unknown", None)
    assert "nothing tells how much memory moves by chance: the reference onnx_fp32 is another model" in found.reason


def test_a_batch_size_is_compared_where_both_reports_give_it():
    def verdict(before: int | None, now: int | None) -> str:
        old, new = (report(final={"batch_size": size}) for size in (before, now))
        return rows(old, new)["latency.p50_ms"].verdict

    assert [verdict(1, 1), verdict(None, 1), verdict(8, None), verdict(8, 1)] == ["same", "same", "same", "unknown"]


def test_a_report_of_one_model_alone_has_no_speedup_to_compare():
    alone = report(speedup=SPEEDUP.model_copy(update={"vs": "final"}))
    found = rows(alone, alone)["speedup.median"]
    assert (found.verdict, found.reason) == (
        "unknown", "the old and the new report is of one model alone, which has no speedup",
    )  # fmt: skip
    assert rows(report(), alone)["latency.p50_ms"].verdict == "same"


def test_quality_is_compared_on_the_same_samples_only():
    better = {"fidelity": Fidelity(cosine=0.9995, sqnr_db=30, max_abs=0.1, n=256)}
    found = rows(report(), report(final=better))["fidelity.cosine"]
    assert (found.verdict, found.change) == ("better", "+0.15 pt")
    other = {"evaluation": DATA["evaluation"] | {"digest": "f" * 64}}
    moved = rows(report(data=other), report(final=better))
    assert (moved["fidelity.cosine"].verdict, moved["accuracy.value"].verdict) == ("unknown", "unknown")
    assert "fidelity.cosine" not in rows(report(final={"fidelity": None}), report())


@pytest.mark.parametrize("value", [0.0, -1.0, 1e308])
def test_absurd_figures_are_not_compared(value: float):
    odd = report(speedup=SPEEDUP.model_copy(update={"median": value, "ci95": (value, value)}))
    for old, new in ((odd, report()), (report(), odd)):
        json.dumps(asdict(rows(old, new)["speedup.median"]), allow_nan=False)


def test_another_runtime_is_told_and_its_figures_are_compared():
    """Which runtime was the fastest is a result, not another way to measure it."""
    other = {"runtime": "openvino", "options": {"precision": "bf16"}, "latency_ms": latency(0.5)}
    found = compare(report(), report(final=other))
    assert found.shipped == ("what is shipped runs in: was onnxruntime, is openvino bf16",)
    verdicts = {row.metric: row.verdict for row in found.rows}
    assert (verdicts["latency.p50_ms"], verdicts["peak_rss_mb"]) == ("better", "same")
    more = {"options": {"threads": 4}}
    assert rows(report(final={"options": {"threads": 2}}), report(final=more))["latency.p50_ms"].verdict == "unknown"


def test_reports_with_and_without_a_choice_are_compared():
    chosen = tried_report()
    plain = without_choice(chosen)
    assert compare(chosen, chosen).shipped == compare(plain, plain).shipped == compare(plain, chosen).shipped == ()
    assert {row.metric for row in compare(plain, chosen).rows} == {row.metric for row in compare(plain, plain).rows}
    fewer = chosen.model_copy(update={"tried": (chosen.tried[0].model_copy(update={"why_not": None}),)})
    assert compare(fewer, chosen).shipped == (
        "its form: was source, is after simplify (1)",
        "it was chosen among: was 1 deployables, is 12 deployables",
    )
