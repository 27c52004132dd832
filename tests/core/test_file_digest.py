from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from mlopt.core import file_digest
from mlopt.core.file_digest import digest_of


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_digest, "_known", {})


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_what_was_just_written_is_read_each_time(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"one", b"two", b"one"):
        path.write_bytes(content)
        assert digest_of(path) == sha256(content)
    assert file_digest._known == {}


def test_what_stays_as_it_is_is_read_once_and_any_change_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_digest, "_SETTLED_NS", -(10**18))
    path = tmp_path / "file"
    path.write_bytes(b"one")
    assert digest_of(path) == sha256(b"one")
    monkeypatch.setattr(hashlib, "file_digest", None)
    assert digest_of(path) == sha256(b"one")
    monkeypatch.undo()
    before = path.stat()
    time.sleep(0.02)  # longer than the file system's clock takes for a tick
    path.write_bytes(b"two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert digest_of(path) == sha256(b"two")
    with path.open("r+b") as stream:
        stream.write(b"six")
    assert digest_of(path) == sha256(b"six")


def test_what_is_forgotten_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_digest, "_SETTLED_NS", -(10**18))
    path = tmp_path / "file"
    path.write_bytes(b"one")
    known = digest_of(path)
    (key,) = file_digest._known
    file_digest._known[key] = "of what lay there before a mapped page was written"
    assert digest_of(path) != known
    file_digest.forget()
    assert digest_of(path) == known == sha256(b"one")


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        digest_of(tmp_path / "none")
