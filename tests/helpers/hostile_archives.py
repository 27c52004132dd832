"""Archives that ``mlopt unpack`` must refuse: a real one, changed in one way, and what must be said of it."""

from __future__ import annotations

import io
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

from mlopt.artifact import container
from mlopt.artifact.container import Member

CENTRAL, LOCAL = 46, 30  # the fixed part of a record of the directory, and of a local header

Change = Callable[[bytes], bytes]


def build(files: dict[str, bytes] | list[tuple[str, bytes]]) -> bytes:
    """An archive of any files, names and order: everything else is as ``pack`` makes it."""
    pairs = list(files.items()) if isinstance(files, dict) else files
    members = [Member(name, len(data), zlib.crc32(data)) for name, data in pairs]
    whole = b""
    for member, (_, data) in zip(members, pairs, strict=True):
        whole += container.header(member, len(whole)) + data
    return whole + container.directory(members)


def rebuilt(change: Callable[[dict[str, bytes]], Any]) -> Change:
    def make(good: bytes) -> bytes:
        with zipfile.ZipFile(io.BytesIO(good)) as files:
            content = {name: files.read(name) for name in files.namelist()}
        return build(change(content))

    return make


def added(name: str, *, last: bool = False) -> Change:
    return rebuilt(lambda files: {**files, name: b"x"} if last else {name: b"x", **files})


def at_central(field: int, value: bytes, name: str = "model.onnx") -> Change:
    return lambda good: put(good, good.rindex(name.encode()) - CENTRAL + field, value)


def at_local(field: int, value: bytes, name: str = "model.onnx") -> Change:
    return lambda good: put(good, local(good, name) + field, value)


def at_end(field: int, value: bytes) -> Change:
    return lambda good: put(good, len(good) - 98 + field, value)


def local(good: bytes, name: str) -> int:
    return zipfile.ZipFile(io.BytesIO(good)).getinfo(name).header_offset


def put(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


def both(*changes: Change) -> Change:
    def make(good: bytes) -> bytes:
        for change in changes:
            good = change(good)
        return good

    return make


def with_zipfile(method: int, content: bytes = b"x") -> Change:
    def make(_: bytes) -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", method) as files:
            files.writestr("mlopt.json", content)
        return stream.getvalue()

    return make


def as_tar(_: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as files:
        files.addfile(tarfile.TarInfo("mlopt.json"))
    return stream.getvalue()


def mode(kind: int) -> bytes:
    return struct.pack("<L", (kind | 0o777) << 16)


END_MISSING = "its end is missing, or something stands after it"
NO_FILE = "it is a link, a directory or a device"
EXTRA = "its size, its place or its padding is not the one that follows from the rest"
CUT = "its directory is cut off"

HOSTILE: dict[str, tuple[Change, str]] = {
    "parent directory": (added("../x"), "the archive holds an unsafe path: '../x'"),
    "parent in the middle": (added("a/../../x"), "the archive holds an unsafe path: 'a/../../x'"),
    "absolute": (added("/x"), "the archive holds an unsafe path: '/x'"),
    "backslash": (added("..\\x"), r"the archive holds an unsafe path: '..\\x'"),
    "drive": (added("C:x"), "the archive holds an unsafe path: 'C:x'"),
    "hidden": (added(".git/config"), "the archive holds an unsafe path: '.git/config'"),
    "control character": (added("\x1b[2Jx"), r"the archive holds an unsafe path: '\x1b[2Jx'"),
    "null byte": (added("a\0b"), r"the archive holds an unsafe path: 'a\x00b'"),
    "no name": (added(""), "the archive holds an unsafe path: ''"),
    "directory": (added("a/"), "the archive holds an unsafe path: 'a/'"),
    "long name": (added("a" * 2000), "the archive holds an unsafe path: 'aaa"),
    "only long names": (lambda _: build({"a" * 2000: b""}), "its directory is too long"),
    "not UTF-8": (
        lambda good: good.replace(b"model.sig", b"model\xff\xfeig"),
        r"the archive holds an unsafe path: 'model\xff\xfeig'",
    ),
    "twice": (
        rebuilt(lambda files: sorted([*files.items(), ("mlopt.json", b"{}")])),
        "holds a file twice: 'mlopt.json'",
    ),
    "unsorted": (
        rebuilt(lambda files: dict(reversed(files.items()))),
        "in 'report.json': it is not in the order of names",
    ),
    "file as directory": (
        rebuilt(lambda files: dict(sorted({**files, "raw": b"x"}.items()))),
        "the archive holds 'raw' both as a file and as a directory",
    ),
    "symbolic link": (at_central(38, mode(stat.S_IFLNK)), f"in 'model.onnx': {NO_FILE}"),
    "directory by mode": (at_central(38, mode(stat.S_IFDIR)), NO_FILE),
    "device": (at_central(38, mode(stat.S_IFCHR)), NO_FILE),
    "pipe": (at_central(38, mode(stat.S_IFIFO)), NO_FILE),
    "set-user-id": (at_central(38, mode(stat.S_IFREG | stat.S_ISUID)), NO_FILE),
    "made on MS-DOS": (at_central(5, b"\0"), "its header is not the one that belongs there (system)"),
    "compressed": (both(at_central(10, b"\x08"), at_local(8, b"\x08")), "in 'model.onnx': it is compressed"),
    "compressed, says its header": (at_local(8, b"\x08"), "in 'model.onnx': it is compressed"),
    "encrypted": (both(at_central(8, b"\1"), at_local(6, b"\1")), "in 'model.onnx': it is encrypted"),
    "encrypted, says its header": (at_local(6, b"\1"), "in 'model.onnx': it is encrypted"),
    "streamed": (both(at_central(8, b"\x08"), at_local(6, b"\x08")), "it is encrypted, or written as a stream"),
    "dated": (at_central(12, b"\1"), "it has a time"),
    "other date in its header": (at_local(12, b"\x22"), "it has a date"),
    "commented file": (at_central(32, b"\1"), "it has a comment"),
    "another name in its header": (at_local(LOCAL, b"x"), "its two headers disagree about its name"),
    "another length in its header": (at_local(26, b"\1"), "its two headers disagree about its name"),
    "another CRC in its header": (at_local(14, b"\0\0\0\0"), "its two headers disagree about its CRC-32"),
    "another size in its header": (at_local(LOCAL + 10 + 4, b"\0"), EXTRA),
    "a 32-bit size as well": (at_central(24, b"\1\0\0\0"), "(size)"),
    "something in the padding": (at_local(LOCAL + 10 + 26 + 100, b"#!"), EXTRA),
    "no local header": (at_local(0, b"PK\1\2"), "(signature)"),
    "on another disk": (at_central(34, b"\1"), "(disk)"),
    "overlapping": (at_central(CENTRAL + 10 + 20, bytes(8)), f"in 'model.onnx': {EXTRA}"),
    "size beyond the archive": (
        at_central(CENTRAL + 10 + 4, b"\xff" * 16),
        "in 'model.onnx': it is larger than the archive",
    ),
    "sizes beyond 64 bits together": (
        both(at_central(CENTRAL + 10 + 4, b"\xff" * 16), at_central(CENTRAL + 10 + 4, b"\xff" * 16, "mlopt.json")),
        "in 'mlopt.json': it is larger than the archive",
    ),
    "size lies, upwards": (at_central(CENTRAL + 10 + 4, struct.pack("<2Q", 7001, 7001)), "in 'model.sig': " + EXTRA),
    "size lies, in one place": (at_central(CENTRAL + 10 + 4, b"\0"), EXTRA),
    "content changed": (
        lambda good: good.replace(b"weights", b"weighty", 1),
        "a file in the archive is damaged: 'model.onnx'",
    ),
    "CRC changed": (both(at_central(16, bytes(4)), at_local(14, bytes(4))), "expected  CRC-32 00000000"),
    "fewer files than there are": (
        both(at_end(24, b"\5"), at_end(32, b"\5")),
        "something between the files and the directory",
    ),
    "more files than there are": (both(at_end(24, b"\x07"), at_end(32, b"\x07")), CUT),
    "as many as 64 bits count": (
        both(at_end(24, b"\xff" * 8), at_end(32, b"\xff" * 8)),
        "the archive holds too many files",
    ),
    "two counts": (at_end(24, b"\1"), END_MISSING),
    "directory elsewhere": (at_end(48, b"\xff" * 8), END_MISSING),
    "directory of 2**64 bytes": (at_end(40, b"\xff" * 8), END_MISSING),
    "old end disagrees": (at_end(98 - 12, b"\0"), END_MISSING),
    "pointer disagrees": (at_end(56 + 8, b"\0"), END_MISSING),
    "comment": (lambda good: good[:-2] + b"\5\0hello", END_MISSING),
    "something after it": (lambda good: good + b"\0", END_MISSING),
    "something before it": (lambda good: b"#!/bin/sh\n" + good, END_MISSING),
    "a second archive after it": (lambda good: good + good, END_MISSING),
    "cut off": (lambda good: good[:-1], END_MISSING),
    "half of it": (lambda good: good[: len(good) // 2], END_MISSING),
    "empty file": (lambda _: b"", END_MISSING),
    "no ZIP64": (with_zipfile(zipfile.ZIP_STORED), END_MISSING),
    "a bomb": (with_zipfile(zipfile.ZIP_DEFLATED, bytes(10 << 20)), END_MISSING),
    "a tar": (as_tar, END_MISSING),
    "no files": (lambda _: container.directory([]), "the artifact is not signed"),
    "a file that is not signed": (added("zzz", last=True), "/zzz: the file was added: it is not signed"),
    "a file too few": (
        rebuilt(lambda files: {name: files[name] for name in files if name != "model.onnx"}),
        "/model.onnx: the file was removed",
    ),
    "another model": (
        rebuilt(lambda files: {**files, "model.onnx": b"x"}),
        "/model.onnx: the file was changed after it was signed",
    ),
}
