"""Hashing and reading files of an untrusted directory."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from mlopt.artifact import files
from mlopt.core.errors import IntegrityError, OutputError

MIB = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    sizes = {"empty": 0, "small": 10, "chunk": MIB, "chunk_and_one": MIB + 1, "large": 3 * MIB + 7}
    for number, (name, size) in enumerate(sizes.items()):
        (tmp_path / name).write_bytes(bytes([number]) * size)
    return tmp_path


def test_files_are_hashed_in_the_order_given(folder: Path) -> None:
    names = ["large", "empty", "chunk_and_one", "small", "chunk"]
    found = files.hash_files(folder, iter(names))
    assert list(found) == names
    assert found == {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}


@pytest.mark.parametrize("cores", [1, 2, 64])
def test_the_number_of_cores_changes_nothing(folder: Path, cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {name: files.sha256(folder, name) for name in files.list_files(folder)}
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    (folder / "copy").mkdir()
    assert files.hash_files(folder, expected, copy_to=folder / "copy") == expected
    for name in expected:
        assert (folder / "copy" / name).read_bytes() == (folder / name).read_bytes()


def test_a_file_that_cannot_be_trusted_is_refused_by_threads_too(folder: Path) -> None:
    os.link(folder / "large", folder / "large_too")
    with pytest.raises(IntegrityError, match="2 names"):
        files.hash_files(folder, files.list_files(folder))
    with pytest.raises(IntegrityError, match="No such file"):
        files.hash_files(folder, ["chunk", "chunk_and_one", "missing"])


def test_hashing_never_follows_a_copy_that_is_there_already(folder: Path, tmp_path: Path) -> None:
    """The copy's place is private; should a link be there all the same, it is not written through."""
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy/small").symlink_to(tmp_path / "empty")
    with pytest.raises(OutputError, match="File exists"):
        files.sha256(folder, "small", copy_to=tmp_path / "copy")
    assert (tmp_path / "empty").read_bytes() == b""


def test_more_files_than_allowed_are_not_even_listed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_ENTRIES", 5)
    assert len(files.list_files(folder)) == 5
    (folder / "one_more").touch()
    with pytest.raises(IntegrityError, match="too many files"):
        files.list_files(folder)


def test_numbers_keep_to_what_every_parser_reads() -> None:
    assert files.parse_json(b'{"a": 1.5e300, "b": -0.0}', "x") == {"a": 1.5e300, "b": 0.0}
    for text in (b"1e999", b"-1e999", b"NaN", b"Infinity", b"9" * 5000):
        with pytest.raises(IntegrityError, match="not valid JSON"):
            files.parse_json(b'{"a": %s}' % text, "x")
