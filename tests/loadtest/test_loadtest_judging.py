"""Limits held against what a load test found: three-valued, and in doubt where the load was not what was asked for."""

from __future__ import annotations

from typing import Any

import pytest
from load_example import figures, noisy, record, step

from mlopt.gate.limits import Gate
from mlopt.loadtest.judging import LoadEvidence, judged, utilization, verdict
from mlopt.results.report import GateVerdict
from mlopt.results.serving import RampRecord

FOUND = figures(noisy(4000))


def one(gate: Gate, **evidence: Any) -> GateVerdict:
    (found,) = judged([gate], LoadEvidence(**({"figures": FOUND} | evidence)))
    return found


def ramp(kept: float | None = 100.0, broken: float | None = 120.0) -> RampRecord:
    return RampRecord(steps=(step(100), step(120, "fail")), kept=kept, broken=broken, ended="found")


def test_the_whole_interval_decides() -> None:
    assert FOUND.latency_ms.p99 is not None
    low, high = FOUND.latency_ms.ci95["p99"]
    for limit, expected in ((high + 1, "pass"), (low - 1, "fail"), (FOUND.latency_ms.p99, "inconclusive")):
        found = one(Gate(metric="serving.p99_ms", max=limit))
        assert (found.verdict, found.value, found.ci95, found.n) == (expected, FOUND.latency_ms.p99, (low, high), 4000)


def test_what_would_decide_is_said() -> None:
    found = one(Gate(metric="serving.p99_ms", max=FOUND.latency_ms.p99))
    assert "mlopt loadtest --seconds" in found.message or "no run of reasonable length" in found.message
    assert "batches" in one(Gate(metric="serving.p50_ms", max=0.1)).message


def test_a_percentile_without_support_is_inconclusive_with_its_reason() -> None:
    found = one(Gate(metric="serving.p99_ms", max=1e6), figures=figures(noisy(100)))
    assert (found.verdict, found.value) == ("inconclusive", None)
    assert "at least 299" in found.message


def test_requests_that_failed_break_a_limit_on_latency() -> None:
    failing = figures(noisy(4000), failed=[(number, "timeout") for number in range(0, 4000, 20)])
    assert one(Gate(metric="serving.p99_ms", max=100.0), figures=failing).verdict == "fail"
    assert one(Gate(metric="serving.error_rate", max=0.01), figures=failing).verdict == "fail"
    assert one(Gate(metric="serving.error_rate", max=0.2), figures=failing).verdict == "pass"


def test_in_doubt_nothing_is_decided_and_what_to_do_is_said() -> None:
    found = one(Gate(metric="serving.p99_ms", max=1e6), doubt=("the generator was late", "a machine of its own"))
    assert found.verdict == "inconclusive"
    assert "since the generator was late" in found.message
    assert "a machine of its own" in found.message


def test_the_highest_rate_lies_between_the_one_kept_and_the_one_broken() -> None:
    for least, expected in ((90.0, "pass"), (110.0, "inconclusive"), (130.0, "fail")):
        assert one(Gate(metric="serving.rps_at_slo", min=least), ramp=ramp()).verdict == expected
    assert one(Gate(metric="serving.rps_at_slo", min=1.0), ramp=ramp(kept=None, broken=0.5)).verdict == "fail"


def test_a_search_that_broke_nothing_says_what_was_kept_and_no_more() -> None:
    assert one(Gate(metric="serving.rps_at_slo", min=90.0), ramp=ramp(broken=None)).verdict == "pass"
    more = one(Gate(metric="serving.rps_at_slo", min=110.0), ramp=ramp(broken=None))
    assert more.verdict == "inconclusive"
    assert "--max-rate" in more.message


def test_utilization_is_the_rate_over_the_highest() -> None:
    assert utilization(60.0, ramp()) == (0.5, 0.6)
    assert utilization(60.0, ramp(kept=None)) is None
    assert utilization(60.0, None) is None
    used = FOUND.model_copy(update={"rate": 60.0})
    for most, expected in ((0.7, "pass"), (0.55, "inconclusive"), (0.4, "fail")):
        found = one(Gate(metric="serving.utilization", max=most), figures=used, ramp=ramp())
        assert found.verdict == expected
    assert one(Gate(metric="serving.utilization", max=0.7), figures=used, ramp=ramp(broken=None)).verdict == "pass"
    unknown = one(Gate(metric="serving.utilization", max=0.5), figures=used, ramp=ramp(broken=None))
    assert unknown.verdict == "inconclusive"


def test_a_run_without_limits_is_not_judged() -> None:
    assert verdict((), FOUND, None, None) == (None, ())


def test_a_wrong_answer_fails_whatever_the_limits() -> None:
    wrong = figures(noisy(4000), failed=[(3, "wrong"), (4, "digest")])
    passed = (one(Gate(metric="serving.p50_ms", max=1e6)),)
    found, reasons = verdict(passed, wrong, None, "late")
    assert found == "fail"
    assert reasons == ("1 answers were wrong", "1 answers were of another artifact")


def test_a_slower_server_fails_unless_the_generator_is_to_blame() -> None:
    compared = record().comparison
    assert verdict((), FOUND, compared, None) == ("fail", ("p50 is 1 ms above the other server's",))
    assert verdict((), FOUND, compared, "late") == ("inconclusive", ("late",))


@pytest.mark.parametrize("worst", ["fail", "inconclusive", "pass"])
def test_else_the_worst_gate_is_the_verdict(worst: str) -> None:
    gates = tuple(
        one(Gate(metric="serving.p50_ms", max=1e6)).model_copy(update={"verdict": each}) for each in ("pass", worst)
    )
    assert verdict(gates, FOUND, None, None) == (worst, ())
