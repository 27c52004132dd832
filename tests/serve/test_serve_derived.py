"""Limits from a report: what the sweep says, what is said where there is none, and that the user's word counts."""

from __future__ import annotations

from typing import Any

from gate_evidence import LATENCY, report
from report_example import example_report

from mlopt.results.figures import SweepPoint
from mlopt.serve.derived import AskedLimits, derive

NOTHING = AskedLimits()


def point(batch: int, rate: float, **changes: Any) -> SweepPoint:
    parts: dict[str, Any] = {
        "name": "final", "batch_size": batch, "threads": 2, "concurrency": 1, "latency_ms": LATENCY,
        "throughput_per_s": rate,
    }  # fmt: skip
    return SweepPoint(**(parts | changes))


def test_the_smallest_batch_that_comes_close_to_the_best_throughput() -> None:
    points = (point(1, 100.0), point(4, 300.0), point(16, 390.0), point(64, 400.0))
    found = derive(report(sweep=points), NOTHING, joins=True)
    assert found.limits.max_batch == 16
    assert found.why[0] == "max batch  16 rows: 390 rows/s, of at best 400 in the sweep"


def test_points_of_others_of_other_threads_and_of_several_clients_count_not() -> None:
    points = (
        point(1, 100.0), point(4, 102.0), point(8, 900.0, name="onnx_fp32"), point(16, 900.0, threads=8),
        point(32, 900.0, concurrency=4),
    )  # fmt: skip
    found = derive(report(sweep=points, final={"options": {"threads": 2}}), NOTHING, joins=True)
    assert found.limits.max_batch == 1
    assert found.limits.max_delay_s == 0.0, "a batch of one has nothing to wait for"


def test_deadline_and_queue_follow_from_p99_and_throughput() -> None:
    found = derive(report(sweep=(point(4, 400.0),)), NOTHING, joins=True)
    assert found.limits.deadline_s == 2.0, "100 times the p99 of 15 ms, in whole seconds"
    assert found.limits.queue_rows == 400, "what is done in half of that"
    assert found.limits.max_delay_s == 0.005, "half of the median of 10 ms"


def test_without_a_sweep_nothing_is_waited_for_and_it_is_said() -> None:
    found = derive(report(), NOTHING, joins=True)
    assert (found.limits.max_batch, found.limits.max_delay_s) == (8, 0.0)
    assert "not measured" in found.why[0]
    assert "no sweep" in found.why[1]
    assert found.limits.deadline_s == 12.0, "100 times 8 times 15 ms, as nobody measured a batch of 8"


def test_requests_that_are_not_joined_run_one_at_a_time_whatever_is_stated() -> None:
    found = derive(report(sweep=(point(16, 400.0),)), AskedLimits(max_batch=32), joins=False)
    assert (found.limits.max_batch, found.limits.max_delay_s) == (1, 0.0)


def test_what_is_stated_counts() -> None:
    found = derive(report(), AskedLimits(32, 7.5, 50, 250.0), joins=True)
    assert (found.limits.max_batch, found.limits.max_delay_s) == (32, 0.0075)
    assert (found.limits.queue_rows, found.limits.deadline_s) == (50, 0.25)
    assert all("as stated" in why for why in found.why)


def test_a_percentile_that_has_too_few_samples_is_replaced_by_a_lower_one() -> None:
    few = LATENCY.model_copy(update={"p99": None})
    found = derive(report(final={"latency_ms": few}, sweep=(point(1, 90.0, latency_ms=few),)), NOTHING, joins=True)
    assert found.limits.deadline_s == 2.0
    assert "of 12 ms" in found.why[2]


def test_a_whole_report() -> None:
    found = derive(example_report(), NOTHING, joins=True)
    assert found.limits.max_batch in {1, 4, 16, 64}
    assert found.limits.queue_rows >= 4 * found.limits.max_batch
