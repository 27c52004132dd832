"""What the evidence leads to: each figure with its reason, whatever was measured."""

from __future__ import annotations

from dataclasses import replace

import pytest
from gate_evidence import LATENCY, report
from report_example import example_report

from mlopt.core.errors import UserError
from mlopt.deploy.derived import Derived, Goal, ServingSettings, derive, goal_of, late
from mlopt.results.figures import ColdStart, Latency, SweepPoint


def settings(goal: Goal | None = None, *, batches: bool = True, threads: int = 2, **changes: object) -> ServingSettings:
    return derive(example_report(**changes), threads=threads, batches=batches, goal=goal or Goal())


def point(batch: int, p99: float, rate: float, threads: int = 2) -> SweepPoint:
    latency = LATENCY.model_copy(update={"p50": p99 / 2, "p99": p99})
    return SweepPoint(
        name="final", batch_size=batch, threads=threads, concurrency=1, latency_ms=latency, throughput_per_s=rate
    )


def test_the_largest_batch_is_the_smallest_that_comes_close_to_the_best_within_half_the_slo() -> None:
    sweep = (point(1, 1, 1000), point(4, 2, 2000), point(16, 6, 2900), point(32, 9, 3000), point(64, 40, 9000))
    found = settings(Goal(p99_ms=20), sweep=sweep)
    assert found.largest_batch.value == 16
    assert found.largest_batch.why == (
        "batch sweep: 2,900 samples/s at p99 6 ms; of 4 batches within half the SLO the smallest within 5 % of the best"
    )
    assert settings(Goal(p99_ms=100), sweep=sweep).largest_batch.value == 64


def test_a_sweep_of_other_threads_or_other_models_says_nothing() -> None:
    found = settings(sweep=(point(16, 1, 9000, threads=1),))
    assert found.largest_batch.value == 1
    assert found.largest_batch.why.startswith("no batch sweep in the report: the batch that was measured (1)")


def test_where_no_batch_leaves_room_it_is_the_smallest_and_says_so() -> None:
    found = settings(Goal(p99_ms=3), sweep=(point(2, 5, 800), point(4, 8, 900)))
    assert found.largest_batch.value == 2
    assert "none leaves half the SLO for waiting" in found.largest_batch.why


def test_what_cannot_be_joined_is_served_one_at_a_time() -> None:
    found = settings(batches=False, sweep=(point(1, 1, 1000), point(16, 6, 2900)))
    assert (found.largest_batch.value, found.delay_ms.value) == (1, 0)
    assert "no batch axis" in found.largest_batch.why


def test_a_batch_that_is_stated_is_taken_as_the_sweep_has_it_else_as_long_as_it_can_last() -> None:
    sweep = (point(1, 1, 1000), point(4, 2, 2000), point(16, 6, 2900))
    known = settings(Goal(p99_ms=20, max_batch=4), sweep=sweep)
    assert known.largest_batch == Derived(4, "as given: --max-batch; 2,000 samples/s in the sweep")
    evidence = report(final={"batch_size": 2, "throughput_per_s": 100.0})
    guessed = derive(evidence, threads=2, batches=True, goal=Goal(max_batch=8))
    assert guessed.largest_batch == Derived(
        8, "as given: --max-batch; taken to last 4 times as long as the 2 that were measured"
    )
    assert guessed.timeout_ms.value == 3 * 4 * 15 + guessed.delay_ms.value
    fewer = derive(evidence, threads=2, batches=True, goal=Goal(max_batch=1))
    assert (fewer.largest_batch.value, fewer.delay_ms.value) == (1, 0)
    assert "to last 1 times as long" in fewer.largest_batch.why
    assert settings(Goal(max_batch=8), batches=False).largest_batch.value == 1


def test_the_delay_is_one_inference_and_at_most_a_tenth_of_the_slo() -> None:
    sweep = (point(1, 2, 900), point(8, 4, 3000))
    assert settings(Goal(p99_ms=100), sweep=sweep).delay_ms.value == 1.0
    shorter = settings(Goal(p99_ms=9), sweep=sweep).delay_ms
    assert shorter.value == pytest.approx(0.9)
    assert shorter.why.startswith("a tenth of the SLO")


def test_without_an_slo_it_is_ten_times_the_p99() -> None:
    found = derive(report(), threads=1, batches=True, goal=Goal())
    assert found.slo_ms == Derived(150.0, "no --slo: ten times the p99 of one inference (15 ms)")
    assert found.timeout_ms.value == 150.0


def test_a_deadline_that_no_answer_could_keep_is_longer_than_the_slo() -> None:
    found = derive(report(), threads=1, batches=False, goal=Goal(p99_ms=20))
    assert found.timeout_ms.value == 45.0
    assert "the SLO is shorter" in found.timeout_ms.why


def test_the_queue_holds_what_can_still_be_answered_in_time() -> None:
    found = derive(report(final={"throughput_per_s": 100.0}), threads=1, batches=False, goal=Goal(p99_ms=1015))
    assert found.instances == Derived(2, "2 cores where it was measured, by 1 threads")
    assert found.queue_rows.value == 200
    late_already = derive(report(final={"batch_size": 8}), threads=2, batches=True, goal=Goal(p99_ms=1))
    assert late_already.queue_rows.value >= 8


def test_replicas_come_from_the_rate_and_are_two_at_least() -> None:
    evidence = report(final={"throughput_per_s": 100.0})
    without = derive(evidence, threads=2, batches=False, goal=Goal())
    assert (without.replicas.value, without.most_replicas.value) == (2, 4)
    many = derive(evidence, threads=2, batches=False, goal=Goal(rate_per_s=701))
    assert (many.rate_per_replica.value, many.replicas.value) == (70.0, 11)
    assert many.replicas.why == "--rate 701 by 70 samples/s a replica"
    assert "an estimate" in many.rate_per_replica.why


def test_memory_has_more_headroom_where_batches_are_larger_than_what_was_measured() -> None:
    small = derive(report(final={"peak_rss_bytes": 100 << 20}), threads=2, batches=False, goal=Goal())
    assert (small.memory_mib.value, small.memory_limit_mib.value) == (100, 150)
    large = settings(Goal(p99_ms=100))
    assert large.largest_batch.value > 1
    assert "2 x that: batches of " in large.memory_limit_mib.why


def test_starting_takes_as_long_as_it_did_and_a_minute_where_nobody_looked() -> None:
    assert derive(report(), threads=1, batches=False, goal=Goal()).start_s.value == 60
    cold = ColdStart(load_ms=900, first_ms=100)
    assert derive(report(final={"cold_start": cold}), threads=1, batches=False, goal=Goal()).start_s.value == 40


def test_a_percentile_that_few_samples_cannot_support_is_not_taken() -> None:
    few = Latency(p50=1.0, p90=None, p95=None, p99=None, p999=None, mean=1.1, n=9, ci95={})
    assert late(few) == ("p50", 1.0)
    assert late(few.model_copy(update={"p50": None})) == ("mean", 1.1)


def test_an_slo_is_read_or_refused() -> None:
    assert goal_of("p99=100ms", 5.0) == Goal(100.0, 5.0)
    assert goal_of(" p99=0.25s", None) == Goal(250.0, None)
    assert goal_of(None, None) == Goal()
    for wrong in ("p95=3ms", "100ms", "p99=0ms", "p99=-1ms", "p99=1e3ms", ""):
        with pytest.raises(UserError, match="the SLO cannot be read"):
            goal_of(wrong, None)


def test_figures_are_shown_as_they_are_written() -> None:
    assert [str(each) for each in (Derived(2.0, ""), Derived(0.794, ""), Derived(123456.0, ""))] == [
        "2",
        "0.794",
        "123456",
    ]
    assert replace(Derived(2.2, ""), value=3.0).whole == 3
