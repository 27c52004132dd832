"""The order of the blocks and the number of looks, by fakes whose time passes only when they run."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopt.measure.schedule import Course, Schedule, follow, there_and_back

SCHEDULE = Schedule(seconds=2.0, rounds=10, max_time=1e6)


@dataclass
class Machine:
    """A clock, and what ran: ``(name, settled)`` for each block, ``+name`` for a start and ``-name`` for an end."""

    now: float = 0.0
    blocks: list[tuple[str, bool]] = field(default_factory=list)
    processes: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)

    def notify(self, detail: str, share: float) -> None:
        self.said.append(detail)
        self.shares.append(share)

    def rounds(self, name: str) -> float:
        return [block for block, _ in self.blocks].count(name) / 2


@dataclass
class Fake:
    """A candidate; a block takes as long as asked times ``slowness``. It is lost in block number ``dies``."""

    name: str
    machine: Machine
    slowness: float = 1.0
    dies: int | None = None
    lost: str | None = None

    def open(self) -> None:
        self.machine.processes.append(f"+{self.name}")
        self.machine.now += 1.0
        if self.dies == 0:
            self.lost = "it could not be opened"

    def block(self, seconds: float, least: int, *, settle: bool) -> None:
        assert self.lost is None
        self.machine.blocks.append((self.name, settle))
        self.machine.now += seconds * self.slowness
        if self.dies is not None and self.machine.rounds(self.name) * 2 >= self.dies:
            self.lost = "it died"

    def close(self) -> None:
        self.machine.processes.append(f"-{self.name}")


def played(
    machine: Machine, fakes: list[Fake], schedule: Schedule, *answers: Collection[str],
    interim: Callable[[], str] | None = None,
) -> Course:  # fmt: skip
    left = iter(answers)
    undecided = (lambda: next(left)) if answers else None
    return follow(schedule, fakes, machine.notify, undecided, interim, clock=lambda: machine.now)


def make(names: str, **more: float) -> tuple[Machine, list[Fake]]:
    machine = Machine()
    return machine, [Fake(name, machine, **more) for name in names]  # type: ignore[arg-type]


@given(st.integers(1, 8), st.integers(0, 99))
def test_a_round_goes_there_and_back(count: int, seed: int) -> None:
    names = list(range(count))
    order = there_and_back(names, random.Random(seed))
    assert order == order[::-1]
    assert sorted(order[:count]) == names


def test_every_round_is_there_and_back_in_an_order_of_its_own() -> None:
    machine, fakes = make("abc")
    played(machine, fakes, SCHEDULE)
    rounds = [[name for name, _ in machine.blocks[start : start + 6]] for start in range(0, 60, 6)]
    assert all(each == each[::-1] and set(each) == set("abc") for each in rounds)
    assert len({tuple(each) for each in rounds}) > 1


def test_whatever_drifts_steadily_falls_on_all_alike() -> None:
    machine, fakes = make("abcd")
    played(machine, fakes, SCHEDULE)
    middle = {name: sum(n for n, (block, _) in enumerate(machine.blocks) if block == name) for name in "abcd"}
    assert len(set(middle.values())) == 1


def test_only_what_runs_twice_in_a_row_does_not_settle() -> None:
    machine, fakes = make("abc")
    played(machine, fakes, SCHEDULE)
    before = [None, *(name for name, _ in machine.blocks)]
    assert [settle for _, settle in machine.blocks] == [
        name != last for (name, _), last in zip(machine.blocks, before, strict=False)
    ]


def test_the_samples_are_asked_again_when_there_are_a_tenth_more_rounds() -> None:
    machine, fakes = make("ab")
    asked: list[float] = []

    def interim() -> str:
        asked.append(machine.rounds("a"))
        return f"after {machine.rounds('a'):.0f}"

    played(machine, fakes, Schedule(seconds=2.0, rounds=1000, max_time=1e6), interim=interim)
    assert asked[:4] == [7, 8, 9, 10]
    assert all(1.1 * before <= now <= 1.1 * before + 1 for before, now in pairwise(asked))
    assert machine.said[-1] == f"round 1000 of 1000, 2 candidates, after {asked[-1]:.0f}"


def test_the_time_of_the_first_look_is_divided_into_two_blocks_a_round() -> None:
    schedule = Schedule(seconds=3.0, rounds=10, max_time=60, least=60)
    assert (schedule.block_seconds, schedule.block_samples) == (0.15, 3)
    assert Schedule(seconds=3.0, rounds=10, max_time=60, least=61).block_samples == 4


def test_without_a_question_there_is_one_look() -> None:
    machine, fakes = make("ab")
    assert played(machine, fakes, SCHEDULE) == Course(1, 10, "looks", pytest.approx(6.0))


def test_what_is_decided_ends() -> None:
    machine, fakes = make("ab")
    course = played(machine, fakes, SCHEDULE, set())
    assert (course.looks, course.rounds, course.stopped) == (1, 10, "decided")


def test_only_the_undecided_go_on_in_new_processes() -> None:
    machine, fakes = make("abc")
    course = played(machine, fakes, SCHEDULE, {"a", "c"}, {"a", "b"})
    assert (course.looks, course.rounds, course.stopped) == (2, 30, "looks")
    assert [machine.rounds(name) for name in "abc"] == [30, 10, 30]
    assert machine.processes == ["+a", "+b", "+c", "-c", "-b", "-a", "+a", "+c", "-c", "-a"]


def test_rounds_grow_to_three_and_nine_times_as_many() -> None:
    machine, fakes = make("ab")
    course = played(machine, fakes, SCHEDULE, {"a", "b"}, {"a", "b"}, {"a", "b"})
    assert (course.looks, course.rounds, course.stopped) == (3, 90, "looks")
    assert machine.rounds("a") == machine.rounds("b") == 90


def test_a_look_is_cut_to_what_time_allows() -> None:
    machine, fakes = make("ab")  # 2 s to start, 0.4 s a round: 6 s for the first look, then 2 + 7 * 0.4 s
    course = played(machine, fakes, Schedule(seconds=2.0, rounds=10, max_time=10.9), {"a", "b"}, {"a", "b"})
    assert (course.looks, course.rounds, course.stopped) == (2, 17, "time")
    assert course.seconds == pytest.approx(10.8)


def test_no_further_look_begins_without_time_for_a_round() -> None:
    machine, fakes = make("ab")
    course = played(machine, fakes, Schedule(seconds=2.0, rounds=10, max_time=8.3), {"a", "b"})
    assert (course.looks, course.rounds, course.stopped) == (1, 10, "time")


def test_the_first_look_is_completed_whatever_it_takes() -> None:
    machine, fakes = make("ab")
    assert played(machine, fakes, Schedule(seconds=2.0, rounds=10, max_time=0.1), {"a"}).rounds == 10


def test_a_machine_that_becomes_slower_ends_a_look_early() -> None:
    machine, fakes = make("ab")

    def slower() -> str:
        fakes[0].slowness = fakes[1].slowness = 20.0 if len(machine.blocks) >= 40 else 1.0
        return ""

    schedule = Schedule(seconds=2.0, rounds=10, max_time=30.0)
    course = played(machine, fakes, schedule, {"a", "b"}, {"a", "b"}, interim=slower)
    assert (course.looks, course.stopped) == (2, "time")
    assert 10 < course.rounds < 30
    assert machine.rounds("a") == machine.rounds("b") == course.rounds


@pytest.mark.parametrize("dies", [0, 1, 7, 20])
def test_the_others_go_on_when_one_is_lost(dies: int) -> None:
    machine, fakes = make("abc")
    fakes[1].dies = dies
    course = played(machine, fakes, SCHEDULE, {"a", "c"}, set())
    assert (course.rounds, course.stopped) == (30, "decided")
    assert machine.rounds("b") * 2 == dies
    assert machine.rounds("a") == machine.rounds("c") == 30


def test_nothing_waits_for_what_is_lost() -> None:
    machine, fakes = make("ab")
    fakes[0].dies = 5
    course = played(machine, fakes, SCHEDULE, {"a", "b"})
    assert (course.looks, course.stopped, machine.rounds("b")) == (1, "looks", 10)


def test_people_see_the_round_the_candidates_and_the_interval() -> None:
    machine, fakes = make("ab")
    played(machine, fakes, SCHEDULE, {"a", "b"}, set(), interim=lambda: "speedup 1.31x (1.22 to 1.40)")
    assert machine.said[:3] == ["warming up 1 of 2", "warming up 2 of 2", "round 1 of 10, 2 candidates"]
    assert machine.said[8] == "round 7 of 10, 2 candidates"
    assert machine.said[9] == "round 8 of 10, 2 candidates, speedup 1.31x (1.22 to 1.40)"
    assert machine.said[-1] == "round 30 of 30, 2 candidates, speedup 1.31x (1.22 to 1.40)"
    assert all(0 <= share < 1 for share in machine.shares)
