"""Gates against a stored report, and gates for classes of hardware."""

from __future__ import annotations

import math
from hashlib import sha256
from typing import Any

import pytest
from gate_evidence import ACCURACY, ENVIRONMENT, SAMPLING, SPEEDUP, candidate, report
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopt.core.errors import GateError
from mlopt.gate.judge import judge, needs_more
from mlopt.gate.limits import Gate, HardwareClass
from mlopt.measure.statistics import proportion_interval
from mlopt.results.report import Cpu, GateVerdict, Report

STORED = "./baselines/main.json"
FASTER = Gate(metric="speedup.median", min=0.97, vs=STORED)
DROP = Gate(metric="accuracy.drop_pt", max=1.0, vs=STORED)


def speedup(median: float, half: float = 0.01, **changes: Any) -> dict[str, Any]:
    """A speedup with an interval that is symmetric in logarithms."""
    ends = (median * math.exp(-half), median * math.exp(half))
    return {"speedup": SPEEDUP.model_copy(update={"median": median, "ci95": ends} | changes)}


def compare(gate: Gate, old: Report, new: Report | None = None) -> GateVerdict:
    (found,) = judge([gate], new or report(), baselines={str(gate.vs): old})
    return found


# Speed


@pytest.mark.parametrize(
    ("old", "new", "verdict"), [(2.0, 2.1, "pass"), (2.0, 1.9, "inconclusive"), (2.0, 1.8, "fail"), (1.0, 1.5, "pass")]
)
def test_a_stored_speedup_is_compared_through_the_common_reference(old: float, new: float, verdict: str):
    found = compare(FASTER, report(**speedup(old, 0.03)), report(**speedup(new, 0.04)))
    assert found.verdict == verdict
    assert found.value == pytest.approx(new / old)
    assert found.interval == pytest.approx((new / old * math.exp(-0.05), new / old * math.exp(0.05)))  # 3, 4, 5
    assert found.n == SAMPLING.rounds


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"cpu": Cpu(model="Intel Xeon", isa=("avx2", "fma"), cores=2)}, "CPU was Intel Xeon, is AMD EPYC 7763"),
        ({"cpu": ENVIRONMENT.cpu.model_copy(update={"cores": 8})}, "cores was 8, is 2"),
        ({"packages": {"onnxruntime": "1.31.0"}}, "onnxruntime was 1.31.0, is 1.32.0"),
        ({"packages": {}}, "onnxruntime was not installed, is 1.32.0"),
        ({"gpu": "NVIDIA L4"}, "GPU was NVIDIA L4, is none"),
    ],
)
def test_other_hardware_or_versions_are_named_and_not_compared(environment: dict[str, Any], said: str):
    old = report(environment=ENVIRONMENT.model_copy(update=environment))
    for gate in (FASTER, Gate(metric="peak_rss.ratio", max=2, vs=STORED)):
        found = compare(gate, old)
        assert (found.verdict, found.value, found.interval) == ("inconclusive", None, None)
        assert f"not comparable with {STORED}: {said}" in found.message
        assert needs_more([gate], report(), baselines={STORED: old}) == set()


@pytest.mark.parametrize(
    ("baseline", "said"),
    [
        ({"digest": "a" * 64}, "its digest was aaaaaaaaaaaa, is {}".format(sha256(b"onnx_fp32").hexdigest()[:12])),
        ({"options": {"threads": 4}}, "threads was 4, is None"),
        ({"batch_size": 8}, "batch size was 8, is 1"),
    ],
)
def test_another_reference_is_named_and_not_compared(baseline: dict[str, Any], said: str):
    old = report(baseline=candidate("onnx_fp32", **baseline))
    found = compare(FASTER, old)
    assert (found.verdict, found.value) == ("inconclusive", None)
    assert said in found.message


@pytest.mark.parametrize(
    ("old", "new", "run", "more"),
    [
        ((1.1, 1.2), (0.9, 1.1), "the stored run", set()),
        ((0.9, 1.1), (1.1, 1.2), "this run", {"onnx_fp32", "final"}),
        ((1.1, 1.2), (1.1, 1.2), "the stored run", set()),
    ],
)
def test_a_control_that_excludes_1_in_either_run_decides_what_is_further_away(old: Any, new: Any, run: str, more: Any):
    stored, near = report(**speedup(2, control=old)), report(**speedup(2.2, control=new))
    found = compare(FASTER, stored, near)
    assert found.verdict == "inconclusive"
    assert f"since {run} measured one model twice and found the copies 1.1 to 1.2 times as fast" in found.message
    assert needs_more([FASTER], near, baselines={STORED: stored}) == more
    far = report(**speedup(4, control=new))
    assert compare(FASTER, stored, far).verdict == "pass"
    assert compare(FASTER, far, stored).verdict == "fail"
    assert needs_more([FASTER], far, baselines={STORED: stored}) == set()


def test_doubts_of_both_runs_multiply():
    """Each may be off by 1.2x, so together by 1.44x: 1.4 times as fast does not show 0.99, 1.5 times does."""
    doubted = {"control": (1.1, 1.2)}
    gate = Gate(metric="speedup.median", min=0.99, vs=STORED)
    verdicts = [
        compare(gate, report(**speedup(2, **doubted)), report(**speedup(new, **doubted))).verdict for new in (2.8, 3.0)
    ]
    assert verdicts == ["inconclusive", "pass"]


def test_a_stored_report_of_one_model_alone_has_no_speedup():
    itself = SPEEDUP.model_copy(update={"vs": "final"})
    found = compare(FASTER, report(speedup=itself))
    assert (found.verdict, found.value) == ("inconclusive", None)
    assert "the old report is of one model alone" in found.message


def test_a_batch_size_that_a_report_of_mlopt_0_1_does_not_give_is_no_difference():
    old = report(baseline=candidate("onnx_fp32", batch_size=None), **speedup(2))
    assert compare(FASTER, old, report(**speedup(2.1))).verdict == "pass"


def test_reports_without_controls_keep_the_noise_floor():
    old = report(**speedup(2, control=None, noise_floor=0.1))
    assert compare(FASTER, old, report(**speedup(2))).verdict == "inconclusive"
    assert compare(FASTER, old, report(**speedup(2.5))).verdict == "pass"


def test_a_stored_run_that_is_too_short_is_not_helped_by_a_longer_one():
    old, new = report(**speedup(2, 0.1)), report(**speedup(2.0, 0.001))
    found = compare(FASTER, old, new)
    assert found.verdict == "inconclusive"
    assert "make the stored report again with a longer run" in found.message
    assert needs_more([FASTER], new, baselines={STORED: old}) == set()
    wide = report(**speedup(2.0, 0.1))
    assert needs_more([FASTER], wide, baselines={STORED: report(**speedup(2, 0.001))}) == {"onnx_fp32", "final"}


def test_a_stored_comparison_at_another_confidence_needs_no_samples():
    gate = Gate(metric="speedup.median", min=0.5, vs=STORED, confidence=0.99)
    found = compare(gate, report(**speedup(2)), report(**speedup(2)))
    assert found.interval[0] < found.ci95[0] < 1 < found.ci95[1] < found.interval[1]


@given(st.floats(0.1, 10), st.floats(0.1, 10), st.floats(1e-4, 0.5), st.floats(1e-4, 0.5))
@settings(deadline=None)
def test_turning_a_comparison_round_turns_its_interval_over(old: float, new: float, a: float, b: float):
    one, other = report(**speedup(old, a)), report(**speedup(new, b))
    there, back = compare(FASTER, one, other), compare(FASTER, other, one)
    assert there.value == pytest.approx(1 / back.value)
    assert there.interval == pytest.approx((1 / back.interval[1], 1 / back.interval[0]))


# Accuracy and size


def model(value: float, digest: str, n: int = 1000, **changes: Any) -> Report:
    """A report whose final model gets ``value`` of ``n`` samples right."""
    scored = ACCURACY.model_copy(update={"value": value, "n": n, "ci95": proportion_interval(round(value * n), n)})
    found = report(final={"accuracy": scored}, **changes)
    return found.model_copy(update={"final": found.final.model_copy(update={"digest": digest * 64})})


def test_accuracy_against_a_stored_report_is_an_unpaired_difference():
    """56/70 against 48/80: Newcombe (1998), table II, method 10 gives 0.0524 to 0.3339."""
    found = compare(DROP, model(56 / 70, "a", 70), model(48 / 80, "b", 80))
    assert found.value == pytest.approx(20)
    assert found.interval == pytest.approx((5.24, 33.39), abs=0.005)
    assert found.verdict == "fail"
    assert compare(DROP, model(0.9, "a"), model(0.95, "b")).verdict == "pass"
    assert compare(DROP, model(0.9, "a"), model(0.9, "b")).verdict == "inconclusive"


def test_the_same_model_on_the_same_samples_has_lost_nothing():
    assert compare(DROP, model(0.9, "a"), model(0.9, "a")).verdict == "pass"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"data": {"evaluation": {"digest": "f" * 64}}},
            "digest was ffffffffffff, is eeeeeeeeeeee",
        ),
        ({"data": {}}, "does not say on which samples"),
    ],
)
def test_other_samples_are_named_and_not_compared(changes: dict[str, Any], said: str):
    found = compare(DROP, model(0.9, "a", **changes), model(0.9, "b"))
    assert (found.verdict, found.value) == ("inconclusive", None)
    assert said in found.message


def test_another_metric_is_not_compared():
    old = report(final={"accuracy": ACCURACY.model_copy(update={"metric": "agreement"})})
    assert "the metric was agreement, is accuracy" in compare(DROP, old).message
    assert "the old report has no accuracy" in compare(DROP, report(final={"accuracy": None})).message


def test_sizes_are_compared_across_machines():
    old = report(final={"size_bytes": 8_600_000}, environment=ENVIRONMENT.model_copy(update={"os": "Windows"}))
    found = compare(Gate(metric="size.ratio", max=0.5, vs=STORED), old)
    assert (found.verdict, found.value, found.interval) == ("pass", 0.5, None)


def test_peak_memory_is_compared_where_the_machines_are_equal():
    old = report(final={"peak_rss_bytes": 420_000_000})
    assert compare(Gate(metric="peak_rss.ratio", max=0.5, vs=STORED), old).value == 0.5


# Which report


@pytest.mark.parametrize("metric", ["speedup.median", "accuracy.drop_pt", "size.ratio", "peak_rss.ratio"])
@pytest.mark.parametrize(("vs", "fix"), [("baseline", "mlopt gate REPORT --baseline FILE"), (STORED, "report.json")])
def test_a_stored_report_that_was_not_given_is_an_error(metric: str, vs: str, fix: str):
    with pytest.raises(GateError, match="was not given") as error:
        judge([Gate(metric=metric, max=2, vs=vs)], report())
    assert fix in str(error.value)


def test_a_reference_that_looks_like_a_path_is_a_reference():
    """As ``mlopt bench`` names its models."""
    names = {"models/a.onnx": SPEEDUP, "artifacts/b": SPEEDUP}
    bench = report(speedups=names, references={name: candidate(name) for name in names})
    for name in names:
        assert judge([Gate(metric="speedup.median", min=1.2, vs=name)], bench)[0].verdict == "pass"


# Hardware


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, None),
        ({"cpu": "AMD EPYC*"}, None),
        ({"cpu": "amd epyc 7763", "cores": 2, "isa": ("fma", "avx2"), "gpu": "none"}, None),
        ({"cpu": "Intel*"}, "its CPU is AMD EPYC 7763"),
        ({"cores": 8}, "it has 2 cores"),
        ({"isa": ("avx2", "avx512_vnni", "amx_int8")}, "it lacks avx512_vnni and amx_int8"),
        ({"gpu": "NVIDIA*"}, "its GPU is none"),
        ({"cpu": "Intel*", "cores": 4}, "its CPU is AMD EPYC 7763, it has 2 cores"),
    ],
)
def test_a_gate_for_other_hardware_is_undecided(fields: dict[str, Any], said: str | None):
    gate = Gate(metric="latency.p95_ms", max=13, hardware=HardwareClass(**fields))
    (found,) = judge([gate], report())
    assert found.verdict == ("pass" if said is None else "inconclusive")
    assert said is None or f"is not for this report: {said}." in found.message


def test_of_gates_for_several_machines_the_one_for_this_counts():
    gates = [
        Gate(metric="latency.p95_ms", max=5, hardware=HardwareClass(cpu="Intel*")),
        Gate(metric="latency.p95_ms", max=13, hardware=HardwareClass(cpu="AMD*")),
        Gate(metric="latency.p95_ms", max=6, hardware=HardwareClass(cpu="Ampere*")),
        Gate(metric="size_mb", max=9, hardware=HardwareClass(cpu="Intel*")),
    ]
    first, second = judge(gates, report())
    assert (first.limit, first.verdict) == ("<= 13 on AMD*", "pass")
    assert "Left out, for other hardware: <= 5 on Intel*; <= 6 on Ampere*." in first.message
    assert (second.metric, second.verdict) == ("size_mb", "inconclusive")


def test_a_limit_for_every_machine_does_not_replace_the_other_side():
    gates = [
        Gate(metric="latency.p95_ms", max=13),
        Gate(metric="latency.p95_ms", min=1, hardware=HardwareClass(cpu="Intel*")),
    ]
    assert [found.verdict for found in judge(gates, report())] == ["pass", "inconclusive"]


def test_of_gates_for_other_machines_all_are_undecided():
    gates = [Gate(metric="size_mb", max=9, hardware=HardwareClass(cpu=cpu)) for cpu in ("Intel*", "Ampere*")]
    assert [found.verdict for found in judge(gates, report())] == ["inconclusive", "inconclusive"]
