"""The queue, at times that the test names: joining, deadlines, and what there is no room for."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mlopt.serve.waiting import Ticket, WaitingQueue


def ticket(name: str, arrived: float = 0.0, rows: int = 1, key: object = "k", deadline: float = 100.0) -> Ticket[str]:
    return Ticket(name, rows, key, arrived, deadline)


def queue(*tickets: Ticket[str], **changes: Any) -> WaitingQueue[str]:
    parts: dict[str, Any] = {"max_batch": 4, "max_delay_s": 1.0, "most_rows": 100}
    found: WaitingQueue[str] = WaitingQueue(**(parts | changes))
    assert all(found.offer(each) for each in tickets)
    return found


def names(tickets: list[Ticket[str]]) -> str:
    return "".join(each.request for each in tickets)


def test_requests_wait_for_company_no_longer_than_the_delay() -> None:
    waiting = queue(ticket("a", 10.0), ticket("b", 10.4))
    turn = waiting.take(10.4)
    assert (turn.batch, round(turn.wait_s or 0, 6)) == ([], 0.6)
    assert names(waiting.take(11.0).batch) == "ab"
    assert waiting.take(11.0).wait_s is None
    assert waiting.rows == 0


def test_a_full_batch_goes_at_once_in_order_and_the_rest_stays() -> None:
    waiting = queue(*(ticket(name, 10.0) for name in "abcdef"))
    assert names(waiting.take(10.0).batch) == "abcd"
    assert waiting.take(10.0).batch == []
    assert names(waiting.take(11.0).batch) == "ef"


def test_what_the_next_does_not_fit_into_goes_too() -> None:
    waiting = queue(ticket("a", 10.0, rows=3), ticket("b", 10.0, rows=2))
    assert names(waiting.take(10.0).batch) == "a"


def test_one_that_is_larger_than_a_batch_runs_alone() -> None:
    assert names(queue(ticket("a", 10.0, rows=9), ticket("b", 10.0)).take(10.0).batch) == "a"


def test_only_requests_of_one_key_are_joined_the_first_first() -> None:
    waiting = queue(ticket("a", 10.0, key=1), ticket("b", 10.0, key=2), ticket("c", 10.1, key=1))
    assert names(waiting.take(12.0).batch) == "ac"
    assert names(waiting.take(12.0).batch) == "b"


def test_a_full_batch_does_not_wait_for_one_that_came_before_and_is_not() -> None:
    waiting = queue(ticket("a", 10.0, key=1), *(ticket(name, 10.0, key=2) for name in "bcde"))
    assert names(waiting.take(10.0).batch) == "bcde"


def test_a_request_whose_deadline_passed_is_never_run() -> None:
    waiting = queue(ticket("a", 10.0, deadline=11.0), ticket("b", 10.0, deadline=30.0))
    turn = waiting.take(11.0)
    assert (names(turn.late), names(turn.batch)) == ("a", "b")
    assert waiting.rows == 0


def test_a_request_in_a_hurry_waits_for_half_of_its_time_at_most() -> None:
    waiting = queue(ticket("a", 10.0, deadline=10.2), max_delay_s=1.0)
    assert round(waiting.take(10.0).wait_s or 0, 6) == 0.1
    assert names(waiting.take(10.1).batch) == "a"


def test_no_room_is_told() -> None:
    waiting = queue(ticket("a", rows=2), most_rows=3)
    assert not waiting.offer(ticket("b", rows=2))
    assert waiting.offer(ticket("c", rows=1))
    assert not queue(most_rows=3).offer(ticket("d", rows=4))


def test_what_is_dropped_makes_room() -> None:
    first = ticket("a", rows=3)
    waiting = queue(first, most_rows=3)
    waiting.drop(first)
    waiting.drop(first)
    assert waiting.rows == 0
    assert waiting.offer(ticket("b", rows=3))


@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(0, 2), st.floats(0.5, 6.0)), min_size=1, max_size=40),
    st.integers(1, 8),
)
def test_every_request_comes_out_once_none_late_and_no_batch_mixed_or_too_large(
    given_: list[tuple[int, int, float]], max_batch: int
) -> None:
    waiting: WaitingQueue[int] = WaitingQueue(max_batch, 0.3, 10_000)
    out: list[int] = []
    for place, (rows, key, life) in enumerate(given_):
        now = place * 0.2
        waiting.offer(Ticket(place, rows, key, now, now + life))
        turn = waiting.take(now)
        out += _checked(turn, now, max_batch)
    now += 0.4
    while waiting.rows:
        turn = waiting.take(now)
        out += _checked(turn, now, max_batch)
        now += turn.wait_s or 0.0
    assert sorted(out) == list(range(len(given_)))


def _checked(turn: Any, now: float, max_batch: int) -> list[int]:
    assert all(each.deadline > now for each in turn.batch)
    assert all(each.deadline <= now for each in turn.late)
    assert len({each.key for each in turn.batch}) <= 1
    assert len(turn.batch) <= 1 or sum(each.rows for each in turn.batch) <= max_batch
    return [each.request for each in (*turn.batch, *turn.late)]
