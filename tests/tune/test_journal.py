from __future__ import annotations

from pathlib import Path

import pytest
import tuned_recipe

from mlopt.core.errors import UserError
from mlopt.results.study import TrialRecord
from mlopt.tune.journal import Journal, Proposed
from mlopt.tune.space import Space, key_of

ABOUT = {"recipe": "a", "machine": "b"}


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Space:
    return tuned_recipe.space(tmp_path_factory.mktemp("space"), only=("passes.simplify", "passes.fuse", "session"))


def told(proposed: Proposed, **known: object) -> TrialRecord:
    base = {
        "number": proposed.number, "params": proposed.point, "origin": proposed.origin, "status": "measured",
        "rung": 2, "began_s": 0.0, "seconds": 1.0, "node": "here", "latency_ms": 1.0, "speedup": 1.0, "valid": True,
    }  # fmt: skip
    return TrialRecord.model_validate({**base, **known})


def test_each_point_is_proposed_once_until_there_are_none(tmp_path: Path, space: Space) -> None:
    journal = Journal(tmp_path, space, 0, ABOUT)
    seen = []
    while batch := journal.ask(3):
        seen += [key_of(each.point) for each in batch]
        for each in batch:
            journal.tell(told(each), 1.0, infeasible=False)
    assert len(seen) == len(set(seen)) == space.count()
    assert len(journal.records) == space.count()


def test_what_was_proposed_and_not_told_comes_first_again(tmp_path: Path, space: Space) -> None:
    """Whenever a run is killed, the next one ends with the same trials, and none twice."""
    first = Journal(tmp_path, space, 0, ABOUT)
    first.seed([(space.default, "recipe")])
    lost = first.ask(3)
    first.tell(told(lost[1]), 0.5, infeasible=False)

    again = Journal(tmp_path, space, 0, ABOUT)
    assert [each.number for each in again.records] == [lost[1].number]
    assert again.seeded
    back = again.ask(2)
    assert {(each.number, key_of(each.point)) for each in back} == {
        (each.number, key_of(each.point)) for each in (lost[0], lost[2])
    }
    assert back[0].origin == "recipe"
    for each in back:
        again.tell(told(each), 0.1, infeasible=False)
    rest = []
    while batch := again.ask(4):
        rest += batch
        for each in batch:
            again.tell(told(each), None, infeasible=True)
    assert len({key_of(each.point) for each in (*lost, *rest)}) == space.count() == len(again.records)


def test_points_that_were_waiting_are_kept(tmp_path: Path, space: Space) -> None:
    points = list(space.points())[:4]
    Journal(tmp_path, space, 0, ABOUT).seed([(point, "prior") for point in points])
    again = Journal(tmp_path, space, 0, ABOUT)
    assert not again.insist(points[2], "prior")
    assert [key_of(each.point) for each in again.ask(4)] == [key_of(point) for point in points]


def test_the_study_of_something_else_is_not_gone_on_with(tmp_path: Path, space: Space) -> None:
    Journal(tmp_path, space, 0, ABOUT)
    with pytest.raises(UserError, match="made with another machine") as caught:
        Journal(tmp_path, space, 0, {**ABOUT, "machine": "c"})
    assert "--study DIR" in (caught.value.problems[0].fix or "")


def test_the_time_of_each_run_is_kept(tmp_path: Path, space: Space) -> None:
    first = Journal(tmp_path, space, 0, ABOUT)
    first.took(first.earlier(), 12.5)
    second = Journal(tmp_path, space, 0, ABOUT)
    second.took(second.earlier(), 3.0)
    assert Journal(tmp_path, space, 0, ABOUT).earlier() == [12.5, 3.0]
