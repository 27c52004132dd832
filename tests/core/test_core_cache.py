"""The cache: whole or absent, shared between processes, and able to say why something is not in it."""

from __future__ import annotations

import contextlib
import errno
import json
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from mlopt.core.cache import Store
from mlopt.core.cache_entry import Key
from mlopt.core.errors import OutputError, PassError


def key(**parts: object) -> Key:
    return Key("passes", "mnist: 2 quantize", parts)


def write(out: Path) -> dict[str, str]:
    (out / "model.onnx").write_bytes(b"model")
    return {"path": "model.onnx"}


def test_work_is_done_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, hit = store.fetch(key(opset=20), write)
    second, hit_again = store.fetch(key(opset=20), lambda _out: pytest.fail("made twice"))
    assert (hit, hit_again) == (False, True)
    assert first.out == second.out
    assert (second.out / second.result["path"]).read_bytes() == b"model"


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def fail(out: Path) -> dict[str, str]:
        (out / "half").write_bytes(b"x")
        raise PassError("no")

    store = Store(tmp_path)
    with pytest.raises(PassError, match="no"):
        store.fetch(key(), fail)
    assert store.entries() == []
    assert list((tmp_path / "tmp").iterdir()) == []
    _, hit = store.fetch(key(), write)
    assert not hit


def test_a_damaged_entry_is_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(tmp_path)
    entry, _ = store.fetch(key(), write)
    assert caplog.messages == []
    (entry.path / "entry.json").write_text("{", encoding="utf-8")
    again, hit = store.fetch(key(), write)
    assert not hit
    assert json.loads((again.path / "entry.json").read_text())["label"] == "mnist: 2 quantize"
    assert len(caplog.messages) == 1


def test_why_missing_names_what_changed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.why_missing(key(config={"opset": 20})) == "not done before"
    store.fetch(key(config={"opset": 20}, code={"mnist.py": "a" * 64}), write)
    missing = key(config={"opset": 18}, code={"mnist.py": "b" * 64})
    assert store.why_missing(missing) == "config.opset: 20 -> 18; code.mnist.py changed"


def slow_write(out: Path) -> dict[str, str]:
    time.sleep(0.4)
    (out / "who").write_text(str(os.getpid()))
    return {"who": str(os.getpid())}


def fetch_slowly(root: Path, answers: multiprocessing.Queue[tuple[str, bool]]) -> None:
    entry, hit = Store(root).fetch(key(), slow_write)
    answers.put((entry.result["who"], hit))


@pytest.mark.process
def test_of_two_processes_one_works_and_the_other_waits(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    answers: multiprocessing.Queue[tuple[str, bool]] = context.Queue()
    processes = [context.Process(target=fetch_slowly, args=(tmp_path, answers)) for _ in range(2)]
    for process in processes:
        process.start()
    results = [answers.get(timeout=20) for _ in processes]
    for process in processes:
        process.join()
    assert len({who for who, _ in results}) == 1
    assert sorted(hit for _, hit in results) == [False, True]


def test_gc_removes_the_old_and_then_the_large(tmp_path: Path) -> None:
    store = Store(tmp_path)
    old, _ = store.fetch(key(n=1), write)
    young, _ = store.fetch(key(n=2), write)
    long_ago = time.time() - 40 * 86400
    os.utime(old.path, (long_ago, long_ago))
    assert store.gc(30)[0] == 1
    assert [entry.path for _, entry in store.entries()] == [young.path]
    assert store.gc(30, max_bytes=0)[0] == 1
    assert store.entries() == []


def test_gc_waits_for_no_run_but_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.in_use(), pytest.raises(OutputError, match="a run is using the cache"):
        store.gc(0)


@pytest.mark.parametrize(("code", "fix"), [(errno.ENOSPC, "free some space"), (errno.EACCES, "MLOPT_CACHE=DIR")])
def test_an_unwritable_cache_is_one_clear_error(tmp_path: Path, code: int, fix: str) -> None:
    def fail(_out: Path) -> dict[str, str]:
        raise OSError(code, os.strerror(code), str(tmp_path / "x"))

    with pytest.raises(OutputError) as caught:
        Store(tmp_path).fetch(key(), fail)
    problem = caught.value.problems[0]
    assert os.strerror(code) in problem.what
    assert fix in (problem.fix or "")
    assert "MLOPT_CACHE" in (problem.fix or "")


def test_what_another_machine_has_put_there_meanwhile_stays(tmp_path: Path) -> None:
    """As on a network file system whose locks hold on one machine only."""

    def write_late(out: Path) -> dict[str, str]:
        first.fetch(key(), write)
        (out / "model.onnx").write_bytes(b"late")
        return {"path": "late"}

    first, second = Store(tmp_path), Store(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlopt.core.cache.locked", lambda *_args, **_how: contextlib.nullcontext())
        entry, _ = second.fetch(key(), write_late)
    assert entry.result == {"path": "model.onnx"}
    assert (entry.out / "model.onnx").read_bytes() == b"model"
