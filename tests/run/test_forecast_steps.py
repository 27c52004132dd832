"""The steps of a run to come, on toys: a look ahead finds in the cache what a run in several runtimes left there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from campaign_parts import recipe
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_chain import ONNX, PASSES, TORCH, World, steps

from mlopt.core.errors import MeasureError
from mlopt.core.target import Target
from mlopt.formats.model import Kind
from mlopt.recipe.schema import Step
from mlopt.run import forecast_steps, ways
from mlopt.run.forecast_steps import WHY_OPEN, Ahead, outlook_of_steps
from mlopt.run.outlook import Outlook
from mlopt.run.quality import QualityGates
from mlopt.runtimes import table as runtimes
from mlopt.runtimes.base import Deployable, Runtime, RuntimeOptions

BOTH = ("onnxruntime", "other")
FIDELITY = {"metric": "fidelity.cosine", "min": 0.9}


class Rounding(RuntimeOptions):
    rounded: bool = False


def nothing(*_: Any) -> Any:
    raise AssertionError("nobody opens a toy")


@pytest.fixture(autouse=True, scope="module")
def _another_runtime() -> Any:
    other = Runtime(
        "other", frozenset({ONNX}), Rounding, nothing,
        choices=lambda options, _one_size: (options, options.model_copy(update={"rounded": True})),
        exactly=lambda options: options.model_copy(update={"rounded": False}),
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtimes, "BUILTIN", (*runtimes.BUILTIN, other))
        patch.setattr(
            forecast_steps, "openings", lambda _recipe, one, *, one_size, log: runtimes.choices(one, one_size=one_size)
        )
        yield


class Gates:
    """The gates, which the less precise of the two ways to open a model keeps, or not."""

    def __init__(self, fine: bool) -> None:
        self.fine = fine

    def preferred(self, best: Deployable) -> Deployable:
        exact, *lossy = runtimes.choices(best, one_size=True)
        return lossy[-1] if lossy and self.fine else exact


def ran(world: World, chain: list[Step], names: tuple[str, ...] = BOTH, *, fine: bool = True) -> None:
    with world.here():
        for _ in ways.run(
            names, chain, world.source(ONNX).model, world.job(), trial=world.trial,
            quality=cast(QualityGates, Gates(fine)), died=lambda _one: None, rival=lambda best, runtimes, made: None,
            tell=world.said.append,
        ):  # fmt: skip
            pass


def ahead(world: World, chain: list[Step], kind: Kind = ONNX, *, read: bool = True, **more: Any) -> list[Outlook]:
    asked = recipe((FIDELITY,)).model_copy(update={"passes": tuple(chain), "target": world.target, **more})
    planned = SimpleNamespace(
        loaded=SimpleNamespace(recipe=asked), passes=PASSES, options=RuntimeOptions(threads=1),
        started=SimpleNamespace(store=world.store, scratch=world.store.folder),
    )  # fmt: skip
    unread = frozenset() if read else frozenset({"evaluation"})
    source = world.source(kind).model.digest if read else None
    return outlook_of_steps(Ahead(cast(Any, planned), world.job(), kind, source, unread, one_size=True))


def told(rows: list[Outlook]) -> list[str]:
    words = {True: "cached", False: "runs", None: "open"}
    return [f"{row.title} {'skipped' if row.skipped else words[row.cached]}" for row in rows]


def both(verdict: str | None = None) -> World:
    return World(lambda _best, _new: verdict, target=Target(runtime=BOTH))


def test_a_step_is_told_once_unless_a_runtime_has_it_done_otherwise() -> None:
    chain = steps("simplify quantize? either", either={"follows": True})
    ran(world := both(), chain)
    rows = ahead(world, chain)
    assert told(rows) == [
        "simplify cached", "quantize in onnxruntime cached", "either in onnxruntime cached",
        "quantize in other cached", "either in other cached", "choose runs",
    ]  # fmt: skip
    assert [row.why for row in rows[:-1]] == ["nothing changed"] * 5
    assert [row.optional for row in rows[:-1]] == [False, True, False, True, False]


def test_what_has_no_place_in_a_way_is_told_with_the_reason() -> None:
    chain = steps("simplify either", either={"reader": "onnxruntime"})
    ran(world := both(), chain)
    rows = ahead(world, chain)
    assert told(rows)[1:3] == ["either in onnxruntime cached", "either in other skipped"]
    assert rows[2].why == "it writes operators that only onnxruntime is sure to read, and this is tried in other"


def test_a_way_that_is_still_to_be_run_says_so() -> None:
    chain = steps("simplify quantize? either", either={"follows": True})
    ran(world := both(), chain, BOTH[:1])
    assert told(ahead(world, chain))[3:-1] == ["quantize in other open", "either in other open"]
    ran(world := both(), chain, BOTH[:1], fine=False)
    rows = ahead(both(), chain, read=False)
    assert told(rows)[:-1] == [
        "simplify open", "quantize in onnxruntime open", "either in onnxruntime open", "quantize in other open",
        "either in other open",
    ]  # fmt: skip
    assert {row.why for row in rows[:-1]} == {WHY_OPEN}


@pytest.mark.parametrize("runtime", ["onnxruntime", "other"])
def test_with_one_runtime_there_is_one_way(runtime: str) -> None:
    chain = steps("simplify quantize?")
    ran(world := World(target=Target(runtime=runtime)), chain, (runtime,))
    rows = told(ahead(world, chain))
    assert rows[:2] == ["simplify cached", "quantize cached"]
    assert rows[2:] == ([] if runtime == "onnxruntime" else ["choose runs"])  # the other has two ways to open a model


def test_what_is_chosen_from_is_counted_as_far_as_it_is_known() -> None:
    chain = steps("simplify quantize?")
    (row,) = (each for each in ahead(both(), chain, read=False) if each.name == "choose")
    assert row.detail == (
        "the fastest that keeps the gates, of at most 12 deployables: 4 forms of the model, in onnxruntime, other and "
        "other rounded=True"
    )
    refusing = steps("simplify quantize?", quantize={"does": "refuse"})
    ran(world := both(), refusing)
    assert "at most 6 deployables: 2 forms of the model" in ahead(world, refusing)[-1].detail
    assert "8 deployables: 3 forms" in ahead(both(), steps("simplify? either?", either={"reader": "other"}))[-1].detail


def test_a_runtime_that_cannot_be_asked_is_told_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(_recipe: Any, one: Deployable, **_: Any) -> tuple[Deployable, ...]:
        if one.runtime == "other":
            raise MeasureError("the runtime other could not be asked", got="it was ended by SIGSEGV")
        return (one,)

    monkeypatch.setattr(forecast_steps, "openings", asked)
    chain = steps("simplify quantize?")
    ran(world := both(), chain, BOTH[:1])
    rows = ahead(world, chain)
    assert told(rows) == ["simplify cached", "quantize cached", "all steps in other skipped"]
    assert rows[-1].why == "the runtime other could not be asked: it was ended by SIGSEGV"
    with pytest.raises(MeasureError):
        ahead(World(target=Target(runtime="other")), chain)


def test_a_source_in_pytorch_is_no_form_for_runtimes_that_do_not_read_it() -> None:
    (row,) = (each for each in ahead(both(), steps("export simplify"), TORCH, read=False) if each.name == "choose")
    assert "at most 6 deployables: 2 forms of the model" in row.detail


@given(
    names=st.lists(st.sampled_from(["simplify", "quantize", "either"]), unique=True),
    data=st.data(), verdict=st.sampled_from([None, "slower"]), fine=st.booleans(),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_whatever_the_chain_a_look_ahead_finds_all_that_a_run_left(
    names: list[str], data: st.DataObject, verdict: str | None, fine: bool
) -> None:
    chain = [
        step.model_copy(update={"config": step.config.model_copy(update=data.draw(st.fixed_dictionaries({
            "does": st.sampled_from(["work", "nothing", "refuse"] if step.optional else ["work", "nothing"]),
            "reader": st.sampled_from(["", "", *BOTH]), "follows": st.booleans(),
        })))})
        for step in steps(" ".join(f"{name}{data.draw(st.sampled_from(['', '?']))}" for name in names))
    ]  # fmt: skip
    ran(world := both(verdict), chain, fine=fine)
    rows = [row for row in ahead(world, chain) if row.name != "choose" and not row.skipped]
    assert {row.cached for row in rows} <= ({True} if fine else {True, None})
    made = len(world.store.entries)
    sure = fine and not any(step.optional for step in chain)
    assert len(rows) == made if sure else len(rows) >= made  # what may be done anew in another runtime is told
    before = list(world.worked)
    ran(world, chain, fine=fine)
    assert world.worked == before
