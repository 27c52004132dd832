"""Workers that start warm: processes of their own, children of who asked, with nothing of what the nursery was told."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlopt.core import nursery
from mlopt.core.voice import Listener, heard
from mlopt.core.worker import Worker, WorkerDiedError, peak_rss_bytes, run_in_worker

pytestmark = [pytest.mark.process, pytest.mark.cold]


@pytest.fixture(autouse=True)
def warm() -> Iterator[None]:
    """Let workers of a test start warm, with a module that nothing else imports."""
    with nursery.opened(["this_is_not_there", "wave"]):
        yield


def facts() -> tuple[int, int, bool, str | None, str]:
    return os.getpid(), os.getppid(), "wave" in sys.modules, os.environ.get("MLOPT_KEY_PASSPHRASE"), str(Path.cwd())


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave() -> None:
    os._exit(3)


def shout() -> None:
    print("said by the recipe")  # noqa: T201 - what a recipe's Python does


def of_a_grandchild(log: Path) -> tuple[int, int, bool, str | None, str]:
    return run_in_worker(log, facts)


def test_it_is_a_process_of_its_own_and_a_child_of_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPT_KEY_PASSPHRASE", "secret")
    monkeypatch.chdir(tmp_path)
    first, second = (run_in_worker(tmp_path / "log", facts) for _ in range(2))
    assert first[0] != second[0]
    assert first[1:] == second[1:] == (os.getpid(), True, None, str(tmp_path))


def test_a_worker_that_is_to_be_cold_has_imported_nothing(tmp_path: Path) -> None:
    with Worker(tmp_path / "log", cold=True) as worker:
        assert not worker.call(facts)[2]


def test_a_worker_has_warm_workers_of_its_own(tmp_path: Path) -> None:
    found = run_in_worker(tmp_path / "log", of_a_grandchild, tmp_path / "inner")
    assert found[2]
    assert found[1] != os.getpid()


@pytest.mark.parametrize(("function", "told"), [(die, "SIGKILL"), (leave, "exited with code 3")])
def test_its_death_is_told_with_its_cause(function: object, told: str, tmp_path: Path) -> None:
    with pytest.raises(WorkerDiedError, match=told), Worker(tmp_path / "log") as worker:
        worker.call(function)  # type: ignore[arg-type]


def test_what_it_prints_is_in_its_log_and_told(tmp_path: Path) -> None:
    said: list[str] = []
    with heard(Listener(say=said.append)):
        run_in_worker(tmp_path / "log", shout)
        with Worker(tmp_path / "log", quiet=True) as worker:
            worker.call(shout)
    assert said == ["said by the recipe"]
    assert (tmp_path / "log").read_text("utf-8") == "said by the recipe\n" * 2


def test_without_its_nursery_a_worker_starts_cold(tmp_path: Path) -> None:
    run_in_worker(tmp_path / "log", facts)
    there = nursery._nursery
    assert there is not None
    assert there._process is not None
    there._process.kill()
    there._process.wait()
    assert not run_in_worker(tmp_path / "log", facts)[2]


def test_an_environment_that_is_too_large_to_hand_on_is_one_for_a_cold_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        monkeypatch.setenv(f"LARGE_{number}", "x" * 60_000)
    assert not run_in_worker(tmp_path / "log", facts)[2]


def test_when_it_is_closed_nothing_of_it_is_left(tmp_path: Path) -> None:
    with nursery.opened(["json"]):  # within another one, which stays
        run_in_worker(tmp_path / "log", peak_rss_bytes)
    there = nursery._nursery
    assert there is not None
    assert there._process is not None
    assert there._process.poll() is None
    nursery._closed()
    assert there._process.returncode == 0


def test_what_most_workers_take_is_added_before_the_first_of_them_and_not_after(tmp_path: Path) -> None:
    nursery.also("zipapp", "wave")
    assert run_in_worker(tmp_path / "log", has, "zipapp")
    nursery.also("tabnanny")
    assert not run_in_worker(tmp_path / "log", has, "tabnanny")


def test_after_its_end_workers_start_cold(tmp_path: Path) -> None:
    assert run_in_worker(tmp_path / "log", has, "wave")
    nursery.done()
    assert not run_in_worker(tmp_path / "log", has, "wave")


def has(module: str) -> bool:
    return module in sys.modules
