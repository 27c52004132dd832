"""Carrying a step out: in the ledger before and after, undone where it fails, and the same again changes nothing."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from rollout_world import A, B, MemoryTarget, a_book, failing

from mlopt.core.errors import UserError
from mlopt.rollout import traffic
from mlopt.rollout.conduct import LedgerBook, Wish, carry_out, note
from mlopt.rollout.traffic import TrafficPlan, TrafficSplit


@pytest.fixture
def book(tmp_path: Path) -> LedgerBook:
    return a_book(tmp_path)


def start(share: int = 10) -> Wish:
    return Wish("start", B, "a try", partial(traffic.start, digest=B, share=share, mirror=0), "/artifacts/b")


def phases(book: LedgerBook, target: MemoryTarget) -> list[tuple[str, str]]:
    return [(each.step, each.phase) for each in book.records(target)]


def test_a_step_is_written_before_and_after(book: LedgerBook) -> None:
    target = MemoryTarget.holding(a=100)

    def nothing_yet(doing: str) -> None:
        if doing in ("load", "shift"):
            assert phases(book, target) == [("start", "begun")], "it is written before anything is done"

    target.fails = nothing_yet
    done = carry_out(target, book, start())
    assert done.changed
    assert target.weights == {"a": 90, "b": 10}
    first, last = book.records(target)
    assert (first.phase, last.phase, first.run == last.run) == ("begun", "done", True)
    assert {digest: each.weight for digest, each in first.before.items()} == {A: 100}
    assert {digest: each.weight for digest, each in last.after.items()} == {A: 90, B: 10}
    assert (last.why, last.artifact) == ("a try", "/artifacts/b")


def test_the_same_again_changes_and_writes_nothing(book: LedgerBook) -> None:
    target = MemoryTarget.holding(a=100)
    carry_out(target, book, start())
    before, target.calls = book.path.read_bytes(), []
    assert not carry_out(target, book, start()).changed
    assert book.path.read_bytes() == before
    assert target.calls == ["serving"]


@pytest.mark.parametrize("what", ["load", "shift"])
def test_what_fails_half_way_leaves_the_old_one_serving_and_says_so(what: str, book: LedgerBook) -> None:
    target = MemoryTarget.holding(a=100)
    target.fails = failing(what)
    with pytest.raises(UserError) as caught:
        carry_out(target, book, start())
    assert f"the {what} failed" in str(caught.value)
    assert "what served before serves" in str(caught.value)
    assert target.weights == {"a": 100}
    assert phases(book, target) == [("start", "begun"), ("start", "failed")]
    assert f"the {what} failed" in str(book.records(target)[-1].detail["error"])
    carry_out(target, book, start())
    assert target.weights == {"a": 90, "b": 10}


def test_a_target_that_does_otherwise_is_put_back(book: LedgerBook) -> None:
    target = MemoryTarget.holding(a=100, b=0)
    really = target.shift

    def too_much(wanted: TrafficSplit) -> None:
        really(TrafficSplit({A: 20, B: 80}) if wanted.weights.get(B) else wanted)

    target.shift = too_much  # type: ignore[method-assign]
    with pytest.raises(UserError, match="does not share requests out") as caught:
        carry_out(target, book, start())
    assert "what served before serves" in str(caught.value)
    assert target.weights == {"a": 100}


def test_a_target_that_is_lost_is_told_of(book: LedgerBook) -> None:
    target = MemoryTarget.holding(a=100, b=0)

    def gone(doing: str) -> None:
        if doing == "shift" or "shift" in target.calls:
            raise UserError("nobody answers")

    target.fails = gone
    with pytest.raises(UserError, match="could not be brought back"):
        carry_out(target, book, start())
    assert phases(book, target) == [("start", "begun"), ("start", "failed")]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=some.sampled_from(["load", "shift", "done"]), share=some.integers(1, 99))
def test_a_step_that_was_killed_is_finished_by_the_same_command(
    where: str, share: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    book, target = a_book(tmp_path_factory.mktemp("killed")), MemoryTarget.holding(a=100)

    def die(doing: str) -> None:
        if doing == where or (where == "done" and "shift" in target.calls and doing == "serving"):
            raise KeyboardInterrupt

    target.fails = die
    with pytest.raises(KeyboardInterrupt):
        carry_out(target, book, start(share))
    assert sum(each.weight for each in target.versions.values()) == 100
    target.fails = lambda _: None
    carry_out(target, book, start(share))
    assert target.weights == {name: weight for name, weight in {"a": 100 - share, "b": share}.items() if weight}
    assert phases(book, target)[-1] == ("start", "done")


def test_where_the_ledger_cannot_be_written_nothing_is_done(book: LedgerBook) -> None:
    target = MemoryTarget.holding(a=100)
    book.path.mkdir()
    with pytest.raises(UserError):
        carry_out(target, book, start())
    assert target.weights == {"a": 100}
    assert "shift" not in target.calls


def test_a_note_changes_nothing(book: LedgerBook) -> None:
    target = MemoryTarget.holding(a=90, b=10)

    def never(serving: Any) -> TrafficPlan:
        raise AssertionError("a note has no plan")

    line = note(target, book, Wish("hold", A, "wait for the owner", never))
    assert target.calls == ["serving"]
    assert line.before == line.after
    assert phases(book, target) == [("hold", "done")]
