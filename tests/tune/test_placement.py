"""Which call runs next and where: in order, spread, and a measurement on a machine of its own."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mlopt.tune.placement import NodeState, Waiting, placed


def place(node: str, running: int = 0, **other: object) -> NodeState:
    return replace(NodeState(node, machine=f"machine of {node}", slots=2, of_target=True, running=running), **other)  # type: ignore[arg-type]


def calls(*alone: bool) -> list[Waiting]:
    return [Waiting(number, each) for number, each in enumerate(alone)]


def test_calls_are_spread_over_the_nodes_that_have_least_to_do() -> None:
    assert placed(calls(False, False, False), [place("a", running=1), place("b")]) == [(0, "b"), (1, "a"), (2, "b")]


def test_a_small_node_is_full_before_a_large_one() -> None:
    started = placed(calls(*[False] * 5), [place("large", slots=4), place("small", slots=1)])
    assert sorted(node for _, node in started) == ["large"] * 4 + ["small"]


def test_no_more_calls_start_than_there_are_slots() -> None:
    assert placed(calls(False, False, False), [place("a", slots=1), place("b", running=2)]) == [(0, "a")]


def test_a_measurement_waits_for_what_runs_and_lets_nothing_new_start() -> None:
    assert placed(calls(True, False), [place("a", running=1)]) == []
    assert placed(calls(True, False), [place("a")]) == [(0, "a")]
    assert placed(calls(False), [place("a", running=1, measuring=True)]) == []


def test_what_comes_before_a_measurement_runs_before_it() -> None:
    assert placed(calls(False, True), [place("a")]) == [(0, "a")]


def test_other_calls_go_on_where_nothing_is_measured() -> None:
    assert placed(calls(True, False), [place("a", running=1), place("b", running=1, of_target=False)]) == [(1, "b")]


def test_two_measurements_run_on_two_machines_at_a_time() -> None:
    assert placed(calls(True, True, True), [place("a"), place("b")]) == [(0, "a"), (1, "b")]


def test_nodes_of_one_machine_are_kept_off_each_other() -> None:
    one = [place("a", machine="m"), place("b", machine="m")]
    assert placed(calls(True, True, False), one) == [(0, "a")]
    assert placed(calls(True), [one[0], replace(one[1], running=1)]) == []
    assert placed(calls(False), [replace(one[0], running=1, measuring=True), one[1]]) == []


def test_a_measurement_runs_on_the_targets_class_only() -> None:
    assert placed(calls(True), [place("a", of_target=False)]) == []
    assert placed(calls(True), [place("a", of_target=False), place("b")]) == [(0, "b")]


def test_a_call_that_was_lost_waits_for_another_node_while_there_is_one() -> None:
    lost = [Waiting(0, alone=False, avoid=frozenset({"a"}))]
    assert placed(lost, [place("a"), place("b", running=1)]) == [(0, "b")]
    assert placed(lost, [place("a"), place("b", running=2)]) == []
    assert placed(lost, [place("a")]) == [(0, "a")]


NODES = st.lists(
    st.builds(NodeState, st.sampled_from("abcdef"), st.sampled_from("mno"), st.integers(1, 3), st.booleans()),
    unique_by=lambda each: each.node,
)


@given(st.lists(st.booleans(), max_size=12), NODES, st.randoms(use_true_random=False))
def test_whatever_comes_a_measurement_has_its_machine_alone_and_everything_ends(alone, places, random) -> None:
    """Plays a study to its end, in which calls end in any order."""
    waiting = calls(*alone)
    running: dict[int, NodeState] = {}
    while True:
        now = [
            replace(each, running=sum(at.node == each.node for at in running.values()),
                    measuring=any(alone[number] and at.node == each.node for number, at in running.items()))
            for each in places
        ]  # fmt: skip
        for number, node in placed(waiting, now):
            running[number] = next(each for each in places if each.node == node)
            waiting = [each for each in waiting if each.number != number]
        for number, at in running.items():
            beside = [other for other, its in running.items() if other != number and its.machine == at.machine]
            assert not (alone[number] and beside)
            assert not alone[number] or at.of_target
            assert sum(its.node == at.node for its in running.values()) <= at.slots
        if not running:
            break
        del running[random.choice(sorted(running))]
    possible = [each for each in waiting if places and (not each.alone or any(at.of_target for at in places))]
    assert possible == []
