"""The format of an archive: its bytes, and a reader that understands those bytes and no others."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

import pytest
from hostile_archives import build
from hypothesis import given
from hypothesis import strategies as st

from mlopt.artifact import container
from mlopt.artifact.container import Member
from mlopt.core.errors import IntegrityError


def read(data: bytes) -> list[Member]:
    return container.read_directory(io.BytesIO(data), "x")


def test_the_bytes_are_pinned() -> None:
    """Whatever Python, system or day: if this fails, archives are no longer those of older versions."""
    whole = build({"a.json": b"{}", "b/c.onnx": b"weights" * 1000, "empty": b""})
    assert hashlib.sha256(whole).hexdigest() == "02dfda83a4f0fdaecac278941666c4e07abd650a5db804ff0366e383e965146e"


def test_sizes_beyond_32_bits_are_written_as_zip64(tmp_path: Path) -> None:
    big = Member("a.onnx", 5 << 30, 0)
    last = Member("b.json", 2, zlib.crc32(b"{}"))
    with (tmp_path / "sparse").open("wb+") as stream:
        stream.write(container.header(big, 0))
        stream.seek(container.after(big, 0))
        stream.write(container.header(last, stream.tell()) + b"{}")
        stream.write(container.directory([big, last]))
        assert container.read_directory(stream, "sparse") == [big, last]
        with zipfile.ZipFile(stream) as other:
            assert other.getinfo("a.onnx").file_size == 5 << 30
            assert other.read("b.json") == b"{}"


def test_too_many_files(tmp_path: Path) -> None:
    members = [Member(f"f{number:05}", 0, 0) for number in range(20_000)]
    end = container.directory(members)
    file = tmp_path / "many.mlopt"
    with file.open("wb") as stream:
        stream.truncate(20_000 * container.PAGE)
        stream.seek(0, os.SEEK_END)
        stream.write(end)
    with file.open("rb") as stream, pytest.raises(IntegrityError, match=r"too many files\n  expected  at most 10000"):
        container.read_directory(stream, "many.mlopt")


def test_too_many_folders() -> None:
    whole = build({f"{number}/{'a/' * 400}x": b"" for number in range(100, 130)})
    with pytest.raises(IntegrityError, match=r"too many files\n  expected  at most 10000, with folders"):
        read(whole)


@given(st.binary(max_size=300), st.binary(max_size=300), st.integers(0, 4))
def test_any_bytes_are_an_archive_or_an_integrity_error(front: bytes, records: bytes, count: int) -> None:
    end = container._end(count, len(records), len(front))
    for data in (front, front + records + end, front + b"PK\1\2" + records + end):
        with suppress(IntegrityError):
            assert data.endswith(container.directory(read(data)))


NAMES = st.from_regex(r"[a-z]{1,3}(/[a-z]{1,3}){0,2}", fullmatch=True)


@given(st.dictionaries(NAMES, st.binary(max_size=50), max_size=6))
def test_what_is_built_is_read(files: dict[str, bytes]) -> None:
    folders = {str(parent) for name in files for parent in Path(name).parents}
    whole = build(dict(sorted(files.items())))
    if folders & files.keys():
        with pytest.raises(IntegrityError, match="both as a file and as a directory"):
            read(whole)
        return
    assert read(whole) == [Member(name, len(data), zlib.crc32(data)) for name, data in sorted(files.items())]
