"""The chain in several runtimes, on toys: what is made once or for each, and what a broken one takes along."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from toy_chain import ONNX, World, steps, told

from mlopt.core.errors import PassError
from mlopt.core.target import Target
from mlopt.recipe.schema import Step
from mlopt.run import ways
from mlopt.run.outcomes import TrialVerdict, Way
from mlopt.run.quality import QualityGates
from mlopt.runtimes import table as runtimes
from mlopt.runtimes.base import Deployable, Runtime, RuntimeOptions


class Options(RuntimeOptions):
    rounded: bool = False


def nothing(*_: Any) -> Any:
    raise AssertionError("nobody opens a toy")


@pytest.fixture(autouse=True)
def _another_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Runtime(
        "other", frozenset({ONNX}), Options, nothing,
        choices=lambda options, _one_size: (options, options.model_copy(update={"rounded": True})),
        exactly=lambda options: options.model_copy(update={"rounded": False}),
    )  # fmt: skip
    monkeypatch.setattr(runtimes, "BUILTIN", (*runtimes.BUILTIN, other))


class Gates:
    """The gates, which pass whatever ``fine`` says."""

    def __init__(self, fine: bool = True) -> None:
        self.fine = fine

    def preferred(self, best: Deployable) -> Deployable:
        *_, last = runtimes.choices(best, one_size=True)
        return last if self.fine else runtimes.exactly(best)


def no_rival(best: Deployable, runtimes: Sequence[str], made: Sequence[Deployable]) -> None:
    del best, runtimes, made


def run(
    world: World, chain: str | list[Step], *names: str, died: Callable[[Deployable], str | None] = lambda _one: None,
    fine: bool = True, rival: ways.Beating = no_rival,
) -> list[Way]:  # fmt: skip
    def all_ways() -> Iterator[Way]:
        yield from ways.run(
            names, steps(chain) if isinstance(chain, str) else chain, world.source(ONNX).model, world.job(),
            trial=world.trial, quality=cast(QualityGates, Gates(fine)), died=died, rival=rival, tell=world.said.append,
        )  # fmt: skip

    with world.here():
        return list(all_ways())


def test_what_follows_no_runtime_is_made_once() -> None:
    found = run(world := World(target=Target(runtime="auto")), "simplify", "onnxruntime", "other")
    assert world.worked == ["onnx: net > simplify"]
    assert [each.runtime for each in found] == ["onnxruntime", "other"]
    assert [told(each.outcomes) for each in found] == [["simplify applied"], ["simplify cached"]]
    kept = [each.outcomes[0].kept for each in found]
    assert [one and one.runtime for one in kept] == ["onnxruntime", "other"]


@pytest.mark.parametrize("fine", [True, False])
def test_a_lossy_step_is_to_improve_on_the_least_precision_that_keeps_the_gates(
    fine: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[RuntimeOptions] = []

    def trial(_world: World, best: Deployable, _model: Deployable, _lossy: bool) -> TrialVerdict:
        held.append(best.options)
        return TrialVerdict(None)

    monkeypatch.setattr(World, "trial", trial)
    run(World(target=Target(runtime="other")), "simplify? quantize?", "other", fine=fine)
    assert held == [Options(threads=1), Options(threads=1, rounded=fine)]


def test_a_trial_is_held_in_each_runtime() -> None:
    found = run(world := World(lambda _best, new: "no gain"), "simplify quantize?", "onnxruntime", "other")
    assert len(world.compared) == 2
    assert all(told(each.outcomes)[1] == "quantize dropped: no gain" for each in found)


def test_a_step_for_one_runtime_has_no_place_in_the_way_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(steps("simplify")[0].config), "only_in", property(lambda _one: ("onnxruntime", "")))
    first, second = run(World(), "simplify", "onnxruntime", "other")
    assert told(first.outcomes) == ["simplify applied"]
    (only,) = second.outcomes
    assert (only.status, only.step.optional) == ("refused", False)
    assert only.reason == "it writes operators that only onnxruntime is sure to read, and this is tried in other"


def test_so_it_has_none_where_there_is_but_that_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(steps("simplify")[0].config), "only_in", property(lambda _one: ("onnxruntime", "")))
    (way,) = run(world := World(target=Target(runtime="other")), "simplify?", "other")
    assert (told(way.outcomes)[0].partition(":")[0], world.worked) == ("simplify refused", [])


def test_one_that_fails_takes_nothing_along_unless_it_is_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(source: Deployable, *rest: Any) -> Any:
        if source.runtime == "other":
            raise PassError("it cannot be done", got="there")
        return first(source, *rest)

    first = ways.loop.run
    monkeypatch.setattr(ways.loop, "run", fails)
    one, other = run(World(), "simplify", "onnxruntime", "other")
    assert (one.lost, other.lost, other.outcomes, other.dead) == (None, "it cannot be done: there", (), False)
    with pytest.raises(PassError, match="it cannot be done"):
        run(World(), "simplify", "other", "onnxruntime")


def test_a_runtime_whose_process_dies_is_given_no_work() -> None:
    seen: list[str] = []

    def died(one: Deployable) -> str | None:
        seen.append(one.runtime)
        return "it was ended by SIGSEGV"

    found = run(world := World(), "simplify quantize?", "onnxruntime", "other", died=died)
    assert (found[1].lost, found[1].dead, found[1].outcomes) == ("it was ended by SIGSEGV", True, ())
    assert seen == ["other"]
    assert len(world.compared) == 1


def test_what_was_held_to_be_lossless_is_not_held_to_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def changed(before: Deployable, after: Deployable) -> str | None:
        asked.append(after.runtime)
        return None

    monkeypatch.setattr(World, "changed", lambda _world, before, after: changed(before, after))
    run(World(), "simplify", "onnxruntime", "other")
    assert asked == ["onnxruntime"]


def test_the_steps_of_a_way_are_those_of_the_recipe() -> None:
    wanted = steps("simplify quantize?")
    for way in run(World(), wanted, "onnxruntime", "other"):
        assert [each.step for each in way.outcomes] == wanted
        assert replace(way, outcomes=()).start.model.digest == World().source(ONNX).model.digest


def test_a_search_is_told_what_is_faster_in_the_other_runtimes_and_what_was_made_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, tuple[str, ...], int]] = []

    def rival(best: Deployable, runtimes: Sequence[str], made: Sequence[Deployable]) -> None:
        asked.append((best.runtime, tuple(runtimes), len(made)))

    monkeypatch.setattr(type(steps("simplify")[0].config), "searches", property(lambda _one: True))
    run(World(target=Target(runtime="auto")), "simplify", "onnxruntime", "other", rival=rival)
    assert asked == [("onnxruntime", ("other",), 0), ("other", ("onnxruntime",), 1)]


def test_where_nothing_is_searched_for_nothing_is_looked_at() -> None:
    def rival(best: Deployable, runtimes: Sequence[str], made: Sequence[Deployable]) -> None:
        raise AssertionError("nobody asks")

    run(World(target=Target(runtime="auto")), "simplify quantize?", "onnxruntime", "other", rival=rival)
