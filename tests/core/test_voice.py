"""What children tell: whole lines, never too often, and to whoever listens."""

from __future__ import annotations

import io
import threading
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopt.core import voice


class Kept:
    """A pipe that keeps what it is sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, obj: Any) -> None:
        self.sent.append(obj)


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Kept:
    """Be a child for the length of a test."""
    monkeypatch.setattr(voice, "_up", None)
    voice.connect(kept := Kept())
    return kept


def test_without_a_parent_the_listener_hears() -> None:
    heard: list[tuple[str, float | None]] = []
    with voice.heard(voice.Listener(lambda text, share: heard.append((text, share)))):
        voice.tell("sample 1", 0.5)
    voice.tell("nobody hears this")
    assert heard == [("sample 1", 0.5)]


def test_a_child_tells_its_parent_and_passes_on_what_its_own_children_tell(pipe: Kept) -> None:
    voice.tell("layer 1 of 3")
    voice.listener().hear("round 2", 0.1)
    voice.listener().say("printed by a grandchild")
    assert pipe.sent == [
        ("told", ("layer 1 of 3", None)), ("told", ("round 2", 0.1)), ("printed", "printed by a grandchild"),
    ]  # fmt: skip


def test_a_process_that_was_forked_off_a_child_tells_nothing(pipe: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getpid", lambda: -1)
    voice.tell("from another process")
    assert pipe.sent == []


def test_that_nobody_listens_any_more_stops_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def send(self, _obj: Any) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(voice, "_up", None)
    voice.connect(Closed())
    voice.tell("into the void")
    with pytest.raises(BrokenPipeError):
        voice.answer(Closed(), "ok", 1)


@pytest.mark.usefixtures("pipe")
@given(st.lists(st.text(st.characters(exclude_characters="\n\r"), max_size=20), min_size=1, max_size=20), st.data())
def test_lines_arrive_whole_however_they_are_written(lines: list[str], data: st.DataObject) -> None:
    voice.connect(kept := Kept())
    stream, text = io.StringIO(), "\n".join(lines) + "\n"
    echo = voice.Echo(stream)
    while text:
        end = data.draw(st.integers(1, len(text)))
        echo.write(text[:end])
        text = text[end:]
    assert [line for _, line in kept.sent] == lines
    assert stream.getvalue() == "\n".join(lines) + "\n"


def test_a_progress_bar_without_an_end_takes_no_memory(pipe: Kept) -> None:
    echo = voice.Echo(io.StringIO())
    for number in range(10_000):
        echo.write(f"\r{number} of 10000" + " " * 100)
    assert pipe.sent == []
    assert len(vars(echo)["_line"]) < 1000


def test_threads_that_print_garble_nothing(pipe: Kept) -> None:
    threads = [threading.Thread(target=voice.tell, args=(f"thread {number}",)) for number in range(20)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert {text for _, (text, _) in pipe.sent} == {f"thread {number}" for number in range(20)}


@given(st.lists(st.floats(0.0, 0.5), max_size=60))
def test_a_count_is_told_a_few_times_a_second_at_most(waits: list[float]) -> None:
    told: list[float] = []
    now = 0.0
    with voice.heard(voice.Listener(lambda _text, _share: told.append(now))):
        count = voice.Count("sample", len(waits), clock=lambda: now)
        for done, wait in enumerate(waits, 1):
            now += wait
            count(done)
    assert all(later - earlier >= 0.2 for earlier, later in pairwise(told))
    assert bool(told) == bool(waits)
