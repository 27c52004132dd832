"""``--events``: any run tells one well-formed story, which ends whatever happens, and none fails by it."""

from __future__ import annotations

import errno
import itertools
import json
import logging
import math
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from bench_models import dense
from hypothesis import given
from hypothesis import strategies as st

import mlopt.bench.benchmark
from mlopt import __version__
from mlopt.cli import console, events, events_file
from mlopt.cli.app import run
from mlopt.cli.events import COMMON, KINDS, SCHEMA, EventLog
from mlopt.cli.progress import Progress
from mlopt.core.errors import ExitCode, MeasureError, OutputError
from mlopt.core.foreign_text import plain

DOCS = Path(__file__).parents[2] / "docs"
Event = dict[str, Any]
SHARES = st.none() | st.floats()
UPDATES = st.tuples(st.just("update"), st.sampled_from(["a", "b"]), st.text(max_size=20), SHARES)
STEPS = st.lists(
    st.tuples(UPDATES | st.tuples(st.just("message"), st.text(max_size=20)) | st.just(("beat",)), st.floats(0.0, 0.5)),
    max_size=40,
)


class Clock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Story:
    """Lines as they are written, and when."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.lines: list[bytes] = []
        self.times: list[float] = []
        self.log = EventLog("tune", self.write, self.clock)
        self.log.start()

    def write(self, line: bytes) -> None:
        self.lines.append(line)
        self.times.append(self.clock.now)

    @property
    def events(self) -> list[Event]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    logger = logging.getLogger("mlopt")
    handlers, level = logger.handlers, logger.level
    yield
    logger.handlers = handlers
    logger.setLevel(level)
    console.err.quiet = False


def read(path: Path) -> list[Event]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def check(found: list[Event]) -> None:
    """Numbers without a gap, one first and one last event, each stage ended once and before the next."""
    assert [each["seq"] for each in found] == list(range(len(found)))
    kinds = [each["kind"] for each in found]
    assert (kinds[0], kinds[-1]) == ("started", "ended")
    assert kinds.count("started") == kinds.count("ended") == 1
    at_hand: str | None = None
    for each in found:
        assert tuple(each) == (*COMMON, *KINDS[each["kind"]])
        if each["kind"] == "stage":
            assert at_hand is None
            at_hand = each["stage"]
        elif "stage" in each:
            assert each["stage"] == at_hand
            at_hand = None if each["kind"] == "stage_ended" else at_hand
    assert at_hand is None


def played(steps: list[tuple[tuple[Any, ...], float]]) -> Story:
    story = Story()
    for (what, *how), seconds in steps:
        story.clock.now += seconds
        getattr(story.log, what)(*how)
    story.log.end(3)
    return story


@given(STEPS)
def test_whatever_is_told_is_one_story(steps: list[tuple[tuple[Any, ...], float]]) -> None:
    story = played(steps)
    check(story.events)
    assert all(line.startswith(events_file.HEAD) and line.endswith(b"}\n") for line in story.lines)
    assert b"".join(story.lines).count(b"\n") == len(story.lines)
    times = [each["elapsed_s"] for each in story.events]
    assert times == sorted(times)
    told = [plain(how[0]) for (what, *how), _ in steps if what == "message"]
    assert [each["text"] for each in story.events if each["kind"] == "message"] == told


@given(STEPS)
def test_of_each_stage_the_last_state_is_told(steps: list[tuple[tuple[Any, ...], float]]) -> None:
    updates = [how for (what, *how), _ in steps if what == "update"]
    said = [list(group)[-1] for _, group in itertools.groupby(updates, key=lambda each: each[0])]
    expected = [
        (stage, plain(detail), None if share is None or math.isnan(share) else round(min(max(share, 0.0), 1.0), 4))
        for stage, detail, share in said
    ]
    states = [each for each in played(steps).events if each["kind"] in ("stage", "progress", "stage_ended")]
    last = [before for before, each in itertools.pairwise(states) if each["kind"] == "stage_ended"]
    assert [(each["stage"], each["detail"], each["share"]) for each in last] == expected


@given(STEPS)
def test_a_stage_is_told_of_five_times_a_second_at_most(steps: list[tuple[tuple[Any, ...], float]]) -> None:
    story = played(steps)
    states = [
        (each["kind"], time)
        for each, time in zip(story.events, story.times, strict=True)
        if each["kind"] in ("stage", "progress", "stage_ended")
    ]
    for (_, before), (kind, now), (after, _) in zip(states, states[1:], states[2:], strict=False):
        assert kind != "progress" or after == "stage_ended" or now - before >= 0.2


def test_a_state_that_came_too_soon_is_told_when_nothing_follows() -> None:
    story = Story()
    story.log.update("measure", "round 1")
    story.clock.now += 0.1
    story.log.update("measure", "round 2", 0.5)
    story.log.beat()
    assert story.events[-1]["kind"] == "stage"
    story.clock.now += 0.2
    story.log.beat()
    story.log.beat()
    assert [(each["kind"], each.get("detail")) for each in story.events[1:]] == [
        ("stage", "round 1"), ("progress", "round 2"),
    ]  # fmt: skip


def test_what_is_told_of_a_run() -> None:
    story = Story()
    story.log.update("plan", "a.yaml")
    story.clock.now += 1.5
    story.log.message("a remark")
    story.log.fail("it broke")
    story.log.end(ExitCode.USAGE)
    own = [{name: each[name] for name in KINDS[each["kind"]]} for each in story.events]
    assert own == [
        {"version": __version__, "pid": os.getpid()}, {"stage": "plan", "detail": "a.yaml", "share": None},
        {"text": "a remark"}, {"stage": "plan", "seconds": 1.5}, {"exit_code": 2, "error": "it broke"},
    ]  # fmt: skip
    assert [each["elapsed_s"] for each in story.events] == [0.0, 0.0, 1.5, 1.5, 1.5]
    assert {(each["schema"], each["verb"]) for each in story.events} == {(SCHEMA, "tune")}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", each["time"]) for each in story.events)


def test_text_of_others_does_nothing_and_has_an_end() -> None:
    story = Story()
    story.log.update("pass \x1b[2J\u202e", "one\ntwo\x00\ud800", math.nan)
    story.log.message("##[error] " + "x" * 100_000)
    story.log.end(0)
    assert all(byte > 31 for line in story.lines for byte in line[:-1])
    assert not any(sign in line.decode() for line in story.lines for sign in ("\u202e", "##["))
    stage, message = story.events[1:3]
    assert (stage["stage"], stage["detail"], stage["share"]) == ("pass \ufffd[2J\ufffd", "one two\ufffd\ufffd", None)
    assert message["text"].startswith("##[error] xx")
    assert len(message["text"]) < 1100


def test_what_cannot_be_written_is_told_once_and_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    tried = []

    def full(line: bytes) -> None:
        tried.append(line)
        raise OSError(errno.ENOSPC, "No space left on device")

    log = EventLog("tune", full)
    with caplog.at_level(logging.WARNING, logger="mlopt"):
        for stage in ("a", "b", "c"):
            log.update(stage)
        log.end(0)
    assert len(tried) == 1
    assert caplog.messages == ["events: No space left on device; the run goes on, and no more of it is written there"]


def test_a_process_that_was_forked_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    story = Story()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    story.log.update("plan")
    story.log.end(0)
    assert len(story.lines) == 1


def test_nothing_is_told_after_the_end() -> None:
    story = Story()
    story.log.end(0)
    story.log.update("plan")
    story.log.message("late")
    story.log.end(1)
    check(story.events)


def test_progress_tells_what_people_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events.begin("tune", tmp_path / "run.jsonl")
    with Progress(console.err) as progress:
        progress.update("plan", "a.yaml")
        for number in range(100):
            progress.say(f"line {number}\n")
    with suppress(KeyError), Progress(console.err) as progress:
        progress.update("judge", share=0.5)
        raise KeyError
    events.end(0)
    found = read(tmp_path / "run.jsonl")
    check(found)
    messages = [each["text"] for each in found if each["kind"] == "message"]
    assert messages[:2] == ["line 0", "line 1"]
    assert capsys.readouterr().err.count("line ") == len(messages) < 100
    assert [each["stage"] for each in found if each["kind"] == "stage_ended"] == ["plan", "judge"]
    assert found[-2]["kind"] == "stage_ended"


def test_without_the_option_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Progress(console.err) as progress:
        progress.update("plan")
    events.current().fail("no")
    events.end(1)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def benches(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception], None]:
    """Let ``mlopt bench`` be two rounds, and then raise this."""

    def use(error: Exception) -> None:
        def measure(_request: object, notify: Callable[[str, str, float | None], None]) -> None:
            notify("measure", "round 1 of 2", 0.5)
            notify("measure", "round 2 of 2", 1.0)
            raise error

        monkeypatch.setattr(mlopt.bench.benchmark, "run", measure)

    return use


@pytest.mark.parametrize("quiet", [[], ["-q"]])
def test_an_error_is_the_last_word(
    benches: Callable[[Exception], None], quiet: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    benches(MeasureError("the model could not be measured", where="a.onnx", got="SIGKILL", fix="mend it"))
    assert run(["bench", "a.onnx", "--events", str(tmp_path / "run.jsonl"), *quiet]) == ExitCode.USAGE
    found = read(tmp_path / "run.jsonl")
    check(found)
    assert [each["kind"] for each in found] == ["started", "stage", "progress", "stage_ended", "ended"]
    assert (found[2]["detail"], found[2]["share"]) == ("round 2 of 2", 1.0)
    assert found[-1]["error"] == "a.onnx: the model could not be measured: SIGKILL"
    assert (found[-1]["exit_code"], found[-1]["verb"]) == (2, "bench")
    assert ("round 1 of 2" in capsys.readouterr().err) is (not quiet)


def test_a_command_line_that_can_be_read_has_its_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "run.jsonl"
    assert run(["bench", "--events", str(file), "--no-such"]) == ExitCode.USAGE
    assert not file.exists()
    assert run(["bench", "--events", str(file)]) == ExitCode.USAGE
    assert [each["kind"] for each in read(file)] == ["started", "ended"]
    assert "MODEL_OR_ARTIFACT" in read(file)[-1]["error"]
    assert run(["rollout", "log", "--events", str(file)]) == ExitCode.USAGE
    assert [each["verb"] for each in read(file)] == ["rollout log", "rollout log"]
    assert run(["passes", "--events", str(file)]) == ExitCode.OK
    assert (read(file)[-1]["exit_code"], read(file)[-1]["error"]) == (0, None)


@pytest.mark.parametrize("given", ["", "no/run.jsonl", "/dev/full", "/dev/fd/987654", "/proc/self/fd/987654"])
def test_where_nothing_can_be_written_no_work_is_begun(
    benches: Callable[[Exception], None],
    given: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    benches(AssertionError("it has begun"))
    assert run(["bench", "a.onnx", "--events", given or str(tmp_path)]) == ExitCode.USAGE
    printed = capsys.readouterr().err
    assert "events cannot be written here: " in printed
    assert "fix       --events FILE" in printed
    assert list(tmp_path.iterdir()) == []


def test_a_descriptor_that_is_only_read_is_refused(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with pytest.raises(OutputError, match="events cannot be written here"):
        events.begin("tune", Path(f"/dev/fd/{reading}"))
    os.close(reading)
    os.close(writing)


def test_a_reader_that_leaves_costs_a_warning(
    benches: Callable[[Exception], None], capsys: pytest.CaptureFixture[str]
) -> None:
    reading, writing = os.pipe()
    benches(MeasureError("lost"))
    measure = mlopt.bench.benchmark.run

    def left(request: Any, notify: Any) -> None:
        os.close(reading)
        measure(request, notify)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlopt.bench.benchmark, "run", left)
        assert run(["bench", "a.onnx", "--events", f"/dev/fd/{writing}"]) == ExitCode.USAGE
    os.close(writing)
    printed = capsys.readouterr().err
    assert printed.count("events: Broken pipe; the run goes on") == 1
    assert "error: lost" in printed


@pytest.mark.process
@pytest.mark.parametrize(("limit", "code"), [("size_mb <= 9", ExitCode.OK), ("size_mb <= 0.001", ExitCode.GATE_FAILED)])
def test_a_run_from_start_to_verdict(
    limit: str, code: ExitCode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    dense(tmp_path / "a.onnx", width=128)
    dense(tmp_path / "b.onnx", width=128)
    measured = ["bench", "b.onnx", "--against", "a.onnx", "--threads", "1", "--time", "0.1"]
    assert run([*measured, "--gate", limit, "--events", "run.jsonl", "--json"]) == code
    found = read(tmp_path / "run.jsonl")
    check(found)
    assert (found[-1]["exit_code"], found[-1]["error"]) == (code, None)
    assert any(each["kind"] == "progress" for each in found)
    assert json.loads(capsys.readouterr().out)["verdict"] == ("fail" if code else "pass")


def test_the_page_has_every_field_and_kind() -> None:
    text = (DOCS / "ci.md").read_text(encoding="utf-8").partition("## Following a run")[2].partition("\n## ")[0]
    rows = [row.split(" | ") for row in re.findall(r"^\| (`.+) \|$", text, re.MULTILINE)]
    named = [[re.findall(r"`(\w+)`", cell) for cell in row] for row in rows]
    assert tuple(row[0][0] for row in named if len(row) == 2) == COMMON
    assert {row[0][0]: tuple(row[1]) for row in named if len(row) == 3} == KINDS
    assert f"`{SCHEMA}`" in text
    assert f"{events._LONGEST:,} characters" in text
    assert "takes nothing for five seconds" in " ".join(text.split())
    assert events_file._PATIENCE_S == 5
