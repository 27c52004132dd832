"""A study on a cluster of several nodes on this machine: spread, measured alone, and whole though nodes die."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from ray_cluster import RayCluster, cluster, kill

pytestmark = [pytest.mark.slow, pytest.mark.ray]


def wait(number: int, seconds: float, alone: bool = False) -> tuple[Any, ...]:
    return "wait", [number, seconds], alone


def overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return bool(one["began"] < other["ended"] and other["began"] < one["ended"])


def on(node: str, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for each in lines if node[:8] in each["node"]]


def test_calls_are_spread_over_nodes_and_processes(nodes: RayCluster, study) -> None:
    running = study(nodes, *(wait(number, 0.6) for number in range(8)))
    assert running.next() == {"slots": 4}
    done = running.rest()
    assert sorted(each["value"]["number"] for each in done) == list(range(8))
    assert [on(node, done) for node in nodes.nodes[:1]] == [[]]
    assert all(len({each["value"]["pid"] for each in on(node, done)}) == 2 for node in nodes.nodes[1:3])
    assert any(overlap(one, other) for one, other in combinations(done, 2))
    assert {each["value"]["threads"] for each in done} == {nodes.environment.get("OMP_NUM_THREADS")}


def test_nothing_else_of_the_study_runs_while_one_measures(nodes: RayCluster, study) -> None:
    """Both nodes are on one machine: so one measures at a time, and beside it nobody works."""
    calls = [wait(number, 0.3, alone=number % 3 == 1) for number in range(9)]
    running = study(nodes, *calls)
    running.next()
    done = running.rest()
    assert sorted(each["value"]["number"] for each in done) == list(range(9))
    alone = [each for each in done if each["call"]["alone"]]
    assert len(alone) == 3
    assert [(one, other) for one in alone for other in done if one is not other and overlap(one, other)] == []
    assert any(overlap(one, other) for one, other in combinations(done, 2)), "nothing shows that they could overlap"


def test_a_raylet_that_is_killed_in_mid_work_loses_nothing(nodes: RayCluster, study) -> None:
    doomed = nodes.add(2)
    running = study(nodes, *(wait(number, 1.5) for number in range(12)), wait(12, 0.1, alone=True))
    assert running.next() == {"slots": 6}
    first = running.next()
    nodes.kill(doomed)
    done = [first, *running.rest()]
    assert sorted(each["value"]["number"] for each in done) == list(range(13))
    assert {each["error"] for each in done} == {None}
    assert any(each["attempts"] > 1 for each in done)
    assert on(nodes.nodes[1], done)


def test_a_node_that_comes_is_taken_up(nodes: RayCluster, study) -> None:
    running = study(nodes, *(wait(number, 1.0) for number in range(30)))
    running.next()
    running.next()
    new = nodes.add(2)
    try:
        assert on(nodes.nodes[new], running.rest())
    finally:
        nodes.kill(new)


def test_a_laboratory_whose_process_dies_is_made_again(nodes: RayCluster, study, tmp_path: Path) -> None:
    running = study(nodes, ("die_once", ["once"], False), ("die", [], False), ("fail", [], False), wait(1, 0))
    running.next()
    once, die, fail, waited = sorted(
        running.rest(), key=lambda each: ("die_once", "die", "fail", "wait").index(each["call"]["method"])
    )
    assert (once["value"], once["attempts"]) == ("alive", 2)
    assert die["attempts"] == 3
    assert "it was lost 3 times" in die["error"]
    assert (fail["error"], fail["attempts"]) == ("it does not converge: NaN", 1)
    assert waited["error"] is None
    assert len(list(tmp_path.glob("opened-*"))) >= 5


def test_a_driver_that_is_killed_leaves_nothing_and_a_new_one_has_the_whole_cluster(nodes: RayCluster, study) -> None:
    """A measurement reserves every CPU of its machine: it would wait for actors that were left."""
    first = study(nodes, *(wait(number, 0.1) for number in range(4)), *(wait(number, 300) for number in range(4)))
    for _ in range(5):
        first.next()
    kill(first.process)
    second = study(nodes, wait(1, 0.1, alone=True), limits={"reserving_s": 60})
    second.next()
    (done,) = second.rest()
    assert (done["error"], done["value"]["number"]) == (None, 1)


def test_what_a_laboratory_made_is_taken_away(nodes: RayCluster, study, tmp_path: Path) -> None:
    study(nodes, *(wait(number, 0.2) for number in range(4))).rest()
    opened, closed = (
        {file.name.partition("-")[2] for file in tmp_path.glob(f"{word}-*")} for word in ("opened", "closed")
    )
    assert opened == closed
    assert len(opened) == 4


def test_a_recipe_that_cannot_be_opened_ends_the_study_in_its_own_words(nodes: RayCluster, study) -> None:
    running = study(nodes, wait(1, 0), refuse=True)
    running.next()
    (said,) = running.rest()
    assert said["raised"] == "UserError"
    assert said["text"].startswith("recipe.yaml:3: the recipe is no recipe")


def test_when_no_node_is_left_the_study_ends_with_what_to_do(study) -> None:
    with cluster(0, 2) as own:
        running = study(own, wait(1, 0.1), *(wait(number, 60) for number in range(3)), limits={"without_nodes_s": 2})
        running.next()
        running.next()
        own.kill(1)
        (said,) = running.rest()
    assert "no node of the cluster is left" in said["text"]
    assert "run the command again" in said["text"]
