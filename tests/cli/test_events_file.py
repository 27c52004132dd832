"""Where events go: files that are ours to replace, pipes with and without readers, descriptors of the caller's."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from mlopt.cli import events_file
from mlopt.cli.events_file import HEAD, opened
from mlopt.core.errors import ExitCode, OutputError

LINE = HEAD + b'v1", "seq": 0}\n'


def put(path: Path, line: bytes = LINE) -> None:
    file = opened(path)
    file.write(line)
    file.close()


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def test_a_file_is_new_or_empty_or_of_an_earlier_run(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to("new")
    (tmp_path / "earlier").write_bytes(LINE * 9)
    for name in ("new", "empty", "link", "earlier"):
        put(tmp_path / name)
        assert (tmp_path / name).read_bytes() == LINE


@pytest.mark.parametrize("content", [b"\n", b"{}", b"apiVersion: mlopt/v1", HEAD[:-1], b" " + LINE])
def test_anything_else_stays_as_it_is(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_bytes(content)
    with pytest.raises(OutputError, match="is not overwritten") as caught:
        opened(tmp_path / "recipe.yaml")
    assert caught.value.exit_code == ExitCode.USAGE
    assert "name another file with --events" in str(caught.value)
    assert (tmp_path / "recipe.yaml").read_bytes() == content


def test_each_line_is_there_at_once(tmp_path: Path) -> None:
    file = opened(tmp_path / "run.jsonl")
    for number in range(1, 4):
        file.write(LINE)
        assert (tmp_path / "run.jsonl").read_bytes() == LINE * number
    long = b"x" * 100_000 + b"\n"
    file.write(long)
    file.close()
    assert (tmp_path / "run.jsonl").read_bytes() == LINE * 3 + long


def test_a_folder_or_no_folder_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        opened(tmp_path)
    with pytest.raises(FileNotFoundError):
        opened(tmp_path / "no" / "run.jsonl")
    put(tmp_path / "file")
    with pytest.raises(NotADirectoryError):
        opened(tmp_path / "file" / "run.jsonl")


def test_a_device_takes_lines() -> None:
    put(Path("/dev/null"))
    with pytest.raises(OSError, match="No space left"):
        put(Path("/dev/full"))


def test_a_descriptor_is_written_to_as_it_stands(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb", buffering=0) as log:
        log.write(b"before\n")
        for place in (f"/dev/fd/{log.fileno()}", f"/proc/self/fd/{log.fileno()}"):
            put(Path(place))
        log.write(b"after\n")
    assert (tmp_path / "log").read_bytes() == b"before\n" + 2 * LINE + b"after\n"


@pytest.mark.parametrize("stream", ["out", "err"])
def test_a_stream_is_one(stream: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    put(Path(f"/dev/std{stream}"))
    assert getattr(capfdbinary.readouterr(), stream) == LINE


def test_a_named_pipe_waits_for_its_reader(pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    told: list[tuple[object, ...]] = []

    def tell(*words: object) -> None:
        told.append(words)
        reader.start()

    monkeypatch.setattr(events_file._LOG, "warning", tell)
    put(pipe)
    reader.join(30)
    assert read == [LINE]
    assert told == [("%s is a pipe that nobody reads: waiting for its reader", pipe)]


def test_a_reader_that_leaves_and_one_that_stands_still(pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_file, "_PATIENCE_S", 0.01)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    file = opened(pipe)
    file.write(LINE)
    assert os.read(reading, 10_000) == LINE
    with pytest.raises(TimeoutError, match="nobody reads on"):
        file.write(LINE * 100_000)
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        file.write(LINE)
    file.close()
