"""Locks among processes: shared, exclusive, never written to, and never through what is no plain file."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mlopt.core.errors import OutputError
from mlopt.core.locks import locked


def test_locks_are_free_again_after_their_holder(tmp_path: Path) -> None:
    with locked(tmp_path / "lock"):
        pass
    with locked(tmp_path / "lock", wait=False):
        pass


def test_a_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), locked(tmp_path / "lock"):
        raise KeyError
    with locked(tmp_path / "lock", wait=False):
        pass


def test_who_does_not_wait_is_told_that_it_is_held(tmp_path: Path) -> None:
    with locked(tmp_path / "lock"), pytest.raises(OutputError, match="a run is at work") as caught:
        locked(tmp_path / "lock", wait=False, busy="a run is at work").__enter__()
    assert caught.value.problems[0].where == str(tmp_path / "lock")


def test_many_may_share_what_one_alone_may_not_have(tmp_path: Path) -> None:
    with locked(tmp_path / "lock", shared=True):
        with locked(tmp_path / "lock", shared=True, wait=False):
            pass
        with pytest.raises(OutputError, match="another process holds the lock"):
            locked(tmp_path / "lock", wait=False).__enter__()


def test_the_file_keeps_its_content_and_stays(tmp_path: Path) -> None:
    with locked(tmp_path / "deep" / "lock"):
        (tmp_path / "deep" / "lock").write_text("mine")
    with locked(tmp_path / "deep" / "lock"):
        pass
    assert (tmp_path / "deep" / "lock").read_text() == "mine"


ODD: dict[str, Callable[[Path], object]] = {
    "link": lambda path: path.symlink_to(path.with_name("target")), "folder": Path.mkdir, "pipe": os.mkfifo,
}  # fmt: skip


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_plain_file_is_not_locked(tmp_path: Path, kind: str) -> None:
    ODD[kind](tmp_path / "lock")
    with pytest.raises(OutputError, match="something stands where the lock's file belongs"):
        locked(tmp_path / "lock").__enter__()
    assert not (tmp_path / "target").exists()


def test_a_lock_that_is_to_be_removed_is_gone_after_its_holder_and_after_an_error(tmp_path: Path) -> None:
    with locked(tmp_path / "lock", remove=True), pytest.raises(OutputError):
        locked(tmp_path / "lock", remove=True, wait=False).__enter__()
    with pytest.raises(KeyError), locked(tmp_path / "lock", remove=True):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_what_somebody_wrote_stays(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("mine")
    with locked(tmp_path / "lock", remove=True):
        pass
    assert (tmp_path / "lock").read_text() == "mine"


def test_of_many_who_remove_it_one_holds_it_at_a_time(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def use() -> None:
        for _ in range(50):
            with locked(tmp_path / "lock", remove=True):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=use) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert (len(most), set(most)) == (400, {1})
    assert list(tmp_path.iterdir()) == []
