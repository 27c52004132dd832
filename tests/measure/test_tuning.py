"""The search for options, on a machine that is made up: what is tried, for how long, and when something is chosen."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mlopt.measure.tuning import Tuned, tune
from mlopt.results.timing import NodeTime, Race, Speed
from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions

BASE = OnnxRuntimeOptions(threads=8)
Paces = Mapping[str, float]


@dataclass
class Machine:
    """Measures nothing: each option that is changed makes the model so many times faster, give or take noise."""

    gains: Mapping[str, float] = field(default_factory=dict)
    """By the option that is changed; together they are multiplied."""
    noise: float = 0.0
    at_most: float = 10.0
    """What all changes together come to, at most."""
    a_process: float = 1.0
    """Seconds that opening and warming up take."""
    lost: Mapping[str, str] = field(default_factory=dict)
    now: float = 0.0
    races: list[tuple[tuple[str, ...], float, float, int]] = field(default_factory=list)
    """Who ran, for how long, how long at most, and with how many clients."""

    def clock(self) -> float:
        return self.now

    def race_options(
        self, options: Mapping[str, Any], *, seconds: float, max_time: float = 0.0, clients: int = 1
    ) -> Race:
        self.races.append((tuple(options), seconds, max_time, clients))
        self.now += (len(options) + 2) * (self.a_process + 2 * seconds)
        dice = random.Random(len(self.races))
        speeds = {name: self._speed(each, dice) for name, each in options.items() if name not in self.lost}
        control = Speed(1.0, 1 / (1 + self.noise), 1 + self.noise)
        return Race(speeds, control, {name: cause for name, cause in self.lost.items() if name in options})

    def _speed(self, options: OnnxRuntimeOptions, dice: random.Random) -> Speed:
        speed = 1.0
        for key, value in options:
            if value != getattr(BASE, key):
                speed *= self.gains.get(key, 1.0)
        speed = min(speed, self.at_most) * (1 + dice.uniform(-self.noise, self.noise))
        return Speed(speed, speed / (1 + self.noise), speed * (1 + self.noise))

    def race(self, versions: Mapping[str, Path], max_time: float) -> dict[str, Speed]:
        raise AssertionError("there are no versions here")

    def profile(self, path: Path, max_time: float = 0.0) -> list[NodeTime]:
        raise AssertionError("nobody asks for nodes")


WAYS = {
    f"{key}: {value}": BASE.model_copy(update={key: value})
    for key, value in (
        ("threads", 4), ("threads", 1), ("spinning", False), ("dynamic_block_base", 4), ("inter_op_threads", 2),
        ("graph_optimization", "extended"), ("prepacking", False), ("memory_arena", False), ("memory_pattern", False),
    )
}  # fmt: skip


def search(
    machine: Machine, ways: Mapping[str, OnnxRuntimeOptions] = WAYS, seconds: float = 60.0, **more: Any
) -> Tuned[OnnxRuntimeOptions]:
    given: dict[str, Any] = {"objection": lambda _options: None, "clock": machine.clock, **more}
    return tune(BASE, ways, machine, seconds=seconds, **given)


def test_where_nothing_is_faster_nothing_is_chosen() -> None:
    found = search(machine := Machine())
    assert (found.options, found.changes) == (None, "none of 9 changes seemed faster")
    assert set(found.tried) == set(WAYS)
    assert max(seconds for _, seconds, *_ in machine.races) < 1  # and no last race was run for nothing


@pytest.mark.parametrize("noise", [0.02, 0.1, 0.3])
def test_what_only_noise_made_faster_in_heats_is_not_chosen(noise: float) -> None:
    found = search(machine := Machine(noise=noise))
    assert found.options is None
    assert len(machine.races) > 1
    assert "no change is surely faster: the best, " in found.changes
    assert f"two copies of the model as it is differed by up to {noise:.1%}" in found.changes


@pytest.mark.parametrize("way", WAYS)
def test_the_one_that_is_faster_is_chosen_and_nothing_with_it(way: str) -> None:
    (key,) = (key for key, value in WAYS[way] if value != getattr(BASE, key))
    only = {name: each for name, each in WAYS.items() if name == way or not name.startswith(key)}
    found = search(Machine({key: 1.3}, noise=0.005), only)
    assert found.options == WAYS[way]
    assert found.changes.startswith(f"{way}: 1.")


def test_changes_that_help_are_combined_and_the_whole_is_held_against_the_model_as_it_is() -> None:
    machine = Machine({"spinning": 1.2, "prepacking": 1.1})
    found = search(machine)
    assert found.options == BASE.model_copy(update={"spinning": False, "prepacking": False})
    assert found.changes == "spinning: False + prepacking: False: 1.32x (1.32 to 1.32)"
    assert found.tried["spinning: False + prepacking: False"] == "1.32x (1.32 to 1.32) in the last race"
    assert set(machine.races[-1][0]) == {"spinning: False + prepacking: False", "spinning: False", "prepacking: False"}


def test_of_those_about_as_fast_the_fewest_changes_win() -> None:
    found = search(Machine({"spinning": 1.3, "prepacking": 1.2}, at_most=1.305))
    assert found.tried["spinning: False + prepacking: False"].startswith("1.30x")
    assert found.options == WAYS["spinning: False"]


def test_what_hardly_helps_is_not_combined() -> None:
    found = search(Machine({"spinning": 1.3, "memory_pattern": 1.005}))
    assert found.options == WAYS["spinning: False"]
    assert not any("+" in name for name in found.tried)


def test_two_values_of_one_option_are_not_combined() -> None:
    found = search(Machine({"threads": 1.2}))
    assert found.options in (WAYS["threads: 4"], WAYS["threads: 1"])
    assert not any("+" in name for name in found.tried)


def test_the_last_race_decides_whatever_the_heats_have_shown() -> None:
    """A change that was faster while heats ran is not taken if it is no faster when it counts."""

    class Fickle(Machine):
        def _speed(self, options: OnnxRuntimeOptions, dice: random.Random) -> Speed:
            faster = self.races[-1][2] == 0.0 and not options.spinning
            return Speed(2.0, 1.9, 2.1) if faster else Speed(0.9, 0.85, 0.95)

    found = search(Fickle())
    assert found.options is None
    assert found.tried["spinning: False"] == "0.90x (0.85 to 0.95) in the last race"


def test_what_cannot_be_taken_is_told_and_not_combined() -> None:
    machine = Machine({"spinning": 1.2, "prepacking": 1.5})
    found = search(machine, objection=lambda options: None if options.prepacking else "it changes what it computes")
    assert found.options == WAYS["spinning: False"]
    assert found.tried["prepacking: False"] == "it changes what it computes"
    assert machine.races[-1][0] == ("spinning: False",)


def test_what_does_not_open_is_told_and_left_out() -> None:
    found = search(Machine({"spinning": 1.2, "prepacking": 1.5}, lost={"prepacking: False": "it died"}))
    assert found.options == WAYS["spinning: False"]
    assert found.tried["prepacking: False"] == "it could not be measured: it died"


@pytest.mark.parametrize("seconds", [30.0, 60.0, 120.0, 600.0])
@pytest.mark.parametrize("a_process", [0.3, 1.0, 3.0])
def test_the_time_is_kept_and_what_it_does_not_suffice_for_is_told(seconds: float, a_process: float) -> None:
    machine = Machine(dict.fromkeys(OnnxRuntimeOptions.model_fields, 1.1), a_process=a_process)
    found = search(machine, seconds=seconds)
    *heats, last = machine.races
    a_first, a_last = 6 * (a_process + 0.8), 6 * (a_process + 4)
    assert found.seconds == machine.now <= max(0.6 * seconds, a_first) + a_last
    ran = {name for names, *_ in heats for name in names}
    assert {name for name, said in found.tried.items() if said.startswith("not tried")} == set(WAYS) - ran
    assert last[2] > 0


def test_a_machine_that_is_too_slow_still_gets_one_heat_and_the_last_race() -> None:
    machine = Machine({"threads": 1.5}, a_process=100.0)
    found = search(machine, seconds=1.0)
    assert [len(names) for names, *_ in machine.races] == [4, 2]
    assert found.options is not None
    assert list(found.tried.values()).count("not tried: the time was up") == 5
    nothing = search(Machine(a_process=100.0), seconds=1.0)
    assert nothing.changes == "none of 4 changes seemed faster, and for 5 more there was no time"


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_no_more_are_open_at_a_time_than_memory_allows(at_once: int) -> None:
    machine = Machine({"spinning": 1.3, "prepacking": 1.2, "memory_arena": 1.1})
    found = search(machine, at_once=at_once, seconds=600)
    assert max(len(names) for names, *_ in machine.races) == min(at_once, 5)
    assert found.options is not None
    assert {name for names, *_ in machine.races for name in names} >= set(WAYS)


def test_all_races_are_under_the_load_that_was_asked_for() -> None:
    search(machine := Machine({"threads": 1.3}), clients=6)
    assert {clients for *_, clients in machine.races} == {6}


def test_survivors_of_a_heat_run_longer_as_long_as_there_is_time() -> None:
    machine = Machine(dict.fromkeys(OnnxRuntimeOptions.model_fields, 1.1))
    search(machine, seconds=1000)
    runs = {
        seconds: [names for names, each, *_ in machine.races if each == seconds] for _, seconds, *_ in machine.races
    }
    ran = [sum(map(len, names)) for names in runs.values()]
    assert ran[0] == len(WAYS)
    assert ran[1] == len(WAYS) // 2
    assert list(runs) == sorted(runs)


def test_options_that_exclude_each_other_are_not_combined(monkeypatch: pytest.MonkeyPatch) -> None:
    class Choosy(OnnxRuntimeOptions):
        def model_post_init(self, _context: Any) -> None:
            if not self.spinning and not self.prepacking:
                raise ValueError("one or the other")

    base = Choosy(threads=8)
    ways = {key: base.model_copy(update={key: False}) for key in ("spinning", "prepacking")}
    machine = Machine({"spinning": 1.3, "prepacking": 1.2})
    found = tune(base, ways, machine, seconds=60, objection=lambda _options: None, clock=machine.clock)
    assert found.options == ways["spinning"]
    assert set(found.tried) == set(ways)
