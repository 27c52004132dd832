"""Workers: results and errors travel, and a child's death is told with its cause."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mlopt.core import nursery
from mlopt.core.errors import DataError
from mlopt.core.worker import Worker, WorkerDiedError, WorkerRaisedError, peak_rss_bytes, run_in_worker, shared_folder

pytestmark = [pytest.mark.process, pytest.mark.cold]


class Counter:
    def __init__(self, start: int) -> None:
        self.value = start

    def add(self, step: int) -> int:
        self.value += step
        return self.value

    def sleep(self) -> None:
        os.write(1, b"started\n")
        time.sleep(600)


def leave_a_folder() -> tuple[str, str]:
    return tempfile.mkdtemp(), shared_folder()


def test_what_a_child_leaves_lies_beside_its_log_and_locks_are_where_all_find_them(tmp_path: Path) -> None:
    left, shared = run_in_worker(tmp_path / "log", leave_a_folder)
    assert Path(left).is_relative_to(tmp_path)
    assert shared == tempfile.gettempdir()


def complain() -> None:
    raise DataError("a sample is NaN", where="data", fix="remove it")


class OddError(DataError):
    def __init__(self, *, code: int) -> None:
        super().__init__("a sample is odd")
        self.code = code


def complain_oddly() -> None:
    raise OddError(code=3)


def stumble() -> None:
    raise ZeroDivisionError("one\nby zero")


def die(number: int) -> None:
    os.kill(os.getpid(), number)


def leave() -> None:
    os._exit(3)


def secret() -> str | None:
    return os.environ.get("MLOPT_KEY_PASSPHRASE")


def allocate(size: int) -> int:
    block = bytearray(size)
    block[::4096] = b"x" * len(block[::4096])
    return peak_rss_bytes()


def shout() -> None:
    os.write(1, b"said on stdout\n")


def test_results_come_back(tmp_path: Path) -> None:
    assert run_in_worker(tmp_path / "log", os.path.join, "a", "b") == "a/b"


def test_a_hosted_object_keeps_its_state(tmp_path: Path) -> None:
    with Worker(tmp_path / "log") as worker:
        worker.host(Counter, 10)
        assert [worker.invoke("add", 1), worker.invoke("add", 2)] == [11, 13]


def test_our_errors_keep_every_detail(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        run_in_worker(tmp_path / "log", complain)
    assert str(caught.value) == "data: a sample is NaN\n  fix       remove it"


def test_one_of_our_errors_that_cannot_be_made_again_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(WorkerRaisedError) as caught:
        run_in_worker(tmp_path / "log", complain_oddly)
    assert str(caught.value).splitlines()[0] == "OddError: a sample is odd"


def test_other_errors_are_one_line_and_a_log(tmp_path: Path) -> None:
    with pytest.raises(WorkerRaisedError) as caught:
        run_in_worker(tmp_path / "log", stumble)
    assert str(caught.value) == "ZeroDivisionError: one"
    assert "Traceback" in (tmp_path / "log").read_text()
    assert "by zero" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("number", "cause"),
    [(signal.SIGKILL, "SIGKILL (out of memory?)"), (signal.SIGSEGV, "SIGSEGV (a crash in native code)")],
)
def test_a_killed_child_is_named(tmp_path: Path, number: signal.Signals, cause: str) -> None:
    with pytest.raises(WorkerDiedError) as caught:
        run_in_worker(tmp_path / "log", die, number)
    assert str(caught.value) == f"it was ended by {cause}"


def test_an_exiting_child_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkerDiedError, match="exited with code 3"):
        run_in_worker(tmp_path / "log", leave)


def test_a_child_that_hangs_is_ended(tmp_path: Path) -> None:
    with Worker(tmp_path / "log") as worker:
        worker.host(Counter, 0, timeout=30)
        assert worker.invoke("add", 1, timeout=30) == 1
        with pytest.raises(
            WorkerDiedError, match=r"^it did not answer for 0\.5 s and was ended; the last .*: started$"
        ):
            worker.invoke("sleep", timeout=0.5)
        with pytest.raises(WorkerDiedError, match=r"^it was ended by SIGKILL"):
            worker.invoke("add", 1)


def test_a_child_is_ended_from_another_thread_than_waits_for_it(tmp_path: Path) -> None:
    with Worker(tmp_path / "log") as worker:
        worker.host(Counter, 0)
        timer = threading.Timer(0.2, worker.end)
        timer.start()
        with pytest.raises(WorkerDiedError, match=r"^it was ended by SIGKILL"):
            worker.invoke("sleep", timeout=30)
        timer.join()


def test_an_object_that_is_never_made_is_ended(tmp_path: Path) -> None:
    with Worker(tmp_path / "log") as worker, pytest.raises(WorkerDiedError, match="did not answer for 0"):
        worker.host(time.sleep, 600, timeout=0.5)


def test_secrets_stay_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPT_KEY_PASSPHRASE", "hunter2")
    assert run_in_worker(tmp_path / "log", secret) is None


def test_peak_memory_is_the_childs_own(tmp_path: Path) -> None:
    ballast = bytearray(300_000_000)
    ballast[::4096] = b"x" * len(ballast[::4096])
    assert run_in_worker(tmp_path / "log", allocate, 0) < 150_000_000
    assert run_in_worker(tmp_path / "log", allocate, 100_000_000) > 100_000_000


def test_output_goes_to_the_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run_in_worker(tmp_path / "log", shout)
    assert (tmp_path / "log").read_text() == "said on stdout\n"
    assert capfd.readouterr() == ("", "")


def test_a_nursery_sends_no_telemetry_and_has_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It imports ONNX Runtime, which tells its maker of that unless it is told not to."""
    given: list[dict[str, str]] = []

    def started(popen: Any, environment: dict[str, str], *, cold: bool) -> Any:
        given.append(environment)
        return popen

    monkeypatch.setattr(nursery, "started", started)
    monkeypatch.setenv("MLOPT_KEY_PASSPHRASE", "secret")
    with Worker(tmp_path / "log"):
        pass
    assert given[0]["ORT_DISABLE_TELEMETRY"] == "1"
    assert "MLOPT_KEY_PASSPHRASE" not in given[0]
