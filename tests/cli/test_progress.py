"""What is shown while work goes on: lines in a log, and in a terminal one line that moves."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from mlopt.cli.progress import Progress


class Clock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def screen(*, terminal: bool, width: int = 80) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=width, highlight=False, soft_wrap=True)


def shown(progress: Progress, width: int = 80) -> str:
    console = screen(terminal=False, width=width)
    console.print(progress.line(), soft_wrap=False)
    return written(console).rstrip("\n")


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_log_has_a_line_for_each_stage_and_one_in_ten_seconds() -> None:
    console, clock = screen(terminal=False), Clock()
    with Progress(console, clock) as progress:
        progress.update("plan", "a.yaml")
        clock.now += 1
        progress.update("measure")
        for number in range(1, 31):
            clock.now += 1
            progress.update("measure", f"round {number} of 30", number / 30)
        progress.update("judge")
    assert written(console).splitlines() == [
        "   0.0 s  plan: a.yaml",
        "   1.0 s  measure",
        "  11.0 s  measure: 10 s so far, 33 %, 20 s left, round 10 of 30",
        "  21.0 s  measure: 20 s so far, 67 %, 10 s left, round 20 of 30",
        "  31.0 s  measure: 30 s so far, 100 %, 0 s left, round 30 of 30",
        "  31.0 s  measure: done in 30 s",
        "  31.0 s  judge",
    ]


def test_a_terminal_has_a_line_for_each_stage_and_the_moving_one_is_gone_at_the_end() -> None:
    console, clock = screen(terminal=True), Clock()
    with Progress(console, clock) as progress:
        progress.update("open")
        clock.now += 3
        progress.update("measure", "round 1 of 30", 0.5)
        clock.now += 60
        progress.update("measure", "round 2 of 30", 0.6)
    out = written(console)
    assert out.count("measure") == 1
    assert out.count("open") == 1
    assert out.endswith("\x1b[2K")  # the last thing done is to clear the moving line


def test_nothing_moves_in_the_first_second() -> None:
    clock = Clock()
    progress = Progress(screen(terminal=True), clock)
    progress.update("measure", "round 1 of 30", 0.1)
    clock.now += 0.9
    assert shown(progress) == ""
    clock.now += 0.1
    assert "round 1 of 30" in shown(progress)


def test_the_moving_line_has_share_time_left_and_detail() -> None:
    clock = Clock()
    progress = Progress(screen(terminal=True), clock)
    progress.update("measure")
    clock.now += 30
    progress.update("measure", "round 12 of 30, speedup 1.31x (1.22 to 1.40)", 0.25)
    assert shown(progress, 120).rstrip().endswith("25 %, 1 min 30 s left, round 12 of 30, speedup 1.31x (1.22 to 1.40)")
    clock.now += 10
    assert "2 min 00 s left" in shown(progress)  # it goes on between two updates


def test_time_left_starts_with_the_stage_and_waits_for_a_share() -> None:
    clock = Clock()
    progress = Progress(screen(terminal=True), clock)
    progress.update("transform")
    clock.now += 1000
    progress.update("measure", "warming up", 0.0)
    assert shown(progress).strip().endswith("0 %, warming up")
    clock.now += 10
    progress.update("measure", "round 1", 0.5)
    assert "10 s left" in shown(progress)


def test_the_time_left_is_that_of_the_part_at_hand() -> None:
    clock = Clock()
    progress = Progress(screen(terminal=True), clock)
    progress.update("choose", "a look", 0.9)
    clock.now += 1000
    progress.update("choose", "race, round 1 of 8", 0.0)
    clock.now += 10
    progress.update("choose", "race, round 5 of 8", 0.5)
    assert "50 %, 10 s left" in shown(progress)
    clock.now += 10
    progress.update("choose", "race, round 8 of 8", 1.0)
    progress.update("choose", "race, round 9 of 16", 0.5)  # it goes on, with less in it
    assert "left" not in shown(progress)
    clock.now += 10
    progress.update("choose", "race, round 13 of 16", 0.75)
    assert "75 %, 10 s left" in shown(progress)


def test_a_question_is_followed_by_no_colon() -> None:
    console = screen(terminal=False)
    with Progress(console, Clock()) as progress:
        progress.update("is it worth it?", "warming up 1 of 3")
    assert written(console).splitlines() == ["   0.0 s  is it worth it? warming up 1 of 3"]


@given(st.lists(st.floats(0.0, 600.0), min_size=1, max_size=20))
def test_the_moving_line_changes_with_every_second_whatever_is_told(steps: list[float]) -> None:
    clock = Clock()
    progress = Progress(screen(terminal=True), clock)
    progress.update("pass export")
    clock.now += 1
    for step in steps:
        clock.now += step
        before = shown(progress)
        clock.now += 1
        assert shown(progress) != before


def test_a_log_says_that_a_silent_stage_goes_on() -> None:
    console, clock = screen(terminal=False), Clock()
    with Progress(console, clock) as progress:
        progress.update("pass export")
        clock.now += 9
        progress.beat()
        clock.now += 2
        progress.beat()
        progress.beat()
    assert written(console).splitlines() == [
        "   0.0 s  pass export", "  11.0 s  pass export: 11 s so far", "  11.0 s  pass export: done in 11 s",
    ]  # fmt: skip


def test_what_others_print_is_shown_as_text_and_not_without_end() -> None:
    console, clock = screen(terminal=False), Clock()
    with Progress(console, clock) as progress:
        progress.update("pass distill")
        progress.say("epoch 1\x1b[2J [bold]loss[/] 0.3\n")
        for number in range(1000):
            progress.say(f"line {number}")
    lines = written(console).splitlines()
    assert lines[1].endswith("epoch 1\ufffd[2J [bold]loss[/] 0.3")
    assert len(lines) < 50
    assert "\x1b" not in written(console)


def test_without_a_share_there_is_no_percentage() -> None:
    clock = Clock()
    progress = Progress(screen(terminal=True), clock)
    progress.update("pass quantize")
    clock.now += 5
    assert "%" not in shown(progress)
    assert shown(progress).strip()


def test_a_long_detail_goes_on_below_and_markup_is_shown_as_it_is() -> None:
    clock = Clock()
    progress = Progress(screen(terminal=True), clock)
    clock.now += 5
    progress.update("measure", "[red]a.onnx[/]" + "x" * 100, 0.5)
    lines = shown(progress).splitlines()
    assert "[red]a.onnx[/]x" in "".join(lines)
    assert "".join(lines).count("x") == 101
    assert all(len(line) <= 80 for line in lines)


def test_names_are_no_markup_in_a_log() -> None:
    console = screen(terminal=False)
    with Progress(console, Clock()) as progress:
        progress.update("pass [bold]x[/bold]")
    assert "pass [bold]x[/bold]" in written(console)


@pytest.mark.heavy
@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b"]), st.text(), st.none() | st.floats(allow_nan=False), st.floats(0, 100))
    )
)
def test_any_updates_can_be_shown(updates: list[tuple[str, str, float | None, float]]) -> None:
    clock = Clock()
    progress = Progress(screen(terminal=False), clock)
    for stage, detail, share, seconds in updates:
        clock.now += seconds
        progress.update(stage, detail, share)
        shown(progress)
