"""Several models in one pod: what adds up, and what the most demanding one takes."""

from __future__ import annotations

from dataclasses import replace

from deployed import content

from mlopt.deploy.derived import Derived
from mlopt.deploy.pod import pod_of


def test_resources_add_up_and_the_engine_is_counted_once() -> None:
    one = content().settings
    alone, both = pod_of([one], 100), pod_of([one, one], 100)
    assert alone.memory_mib.value == one.memory_mib.value + 100
    assert both.memory_mib.value == 2 * one.memory_mib.value + 100
    assert (alone.cores.value, both.cores.value) == (2, 4)
    assert both.cores.why == "threads x instances: 2 x 1 + 2 x 1"


def test_times_and_numbers_are_those_of_the_most_demanding() -> None:
    one = content().settings
    other = replace(
        one, timeout_ms=Derived(2500, "slow"), replicas=Derived(9, "many"), rate_per_replica=Derived(1, "few"),
        start_s=Derived(99, "large"),
    )  # fmt: skip
    pod = pod_of([one, other], 0)
    assert (pod.grace_s.value, pod.replicas.value, pod.rate.value, pod.start_s.value) == (18, 9, 1, 99)
    assert pod.grace_s.why == "5 s of draining, the longest request (2500 ms) and 10 s to end"
    assert (pod.longest_ms, pod.end_s.value) == (Derived(2500, "slow"), 8)


def test_a_request_that_goes_through_both_may_take_both_their_times() -> None:
    one = content().settings
    other = replace(one, timeout_ms=Derived(2500, "slow"))
    pod = pod_of([one, other], 0, in_turn=True)
    assert pod.longest_ms == Derived(2600, "one model after the other: 100 + 2500 ms")
    assert (pod.grace_s.value, pod.end_s.value) == (18, 8)
