"""The one ZIP that holds given files: every byte of it but the data follows from their names, sizes and CRCs.

It is a plain ZIP for every tool that reads such files. But it is stored and never compressed, sorted by name, with one
fixed date and mode, ZIP64 whatever the sizes (so that there is one way through this code, and every test takes it),
each file's data at a multiple of ``PAGE`` (so that a model can be mapped into memory from within), and nothing before,
between or after. ``header`` and ``directory`` give the bytes that stand around the data: a writer writes them, and
a reader compares. So two machines write the same file, and nothing in it can be understood in two ways.

Python's ``zipfile`` can do neither: its writer does not promise the same bytes from one version to the next, and its
reader forgives what is refused here. Records and their numbers are those of APPNOTE.TXT 6.3, sections 4.3.7 to 4.3.16.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from mlopt.artifact.files import MAX_ENTRIES, is_safe, shown
from mlopt.core.errors import IntegrityError

PAGE = 4096

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_SIZES = struct.Struct("<2H2Q")  # the ZIP64 field of a local header
_PLACE = struct.Struct("<2H3Q")  # ... and of a record of the directory
_END = struct.Struct("<4sQ2H2L4Q" + "4sLQL" + "4s4H2LH")  # ZIP64's end, the pointer to it, and the end of old

_HEADER = ("version", "flags", "method", "time", "date", "crc", "stored", "size", "name_length", "extra_length")
_FIELDS = {
    _LOCAL: ("signature", *_HEADER),
    _CENTRAL: ("signature", "system", *_HEADER, "comment", "disk", "internal", "attributes", "offset"),
}
_COMPLAINTS = {
    "flags": "it is encrypted, or written as a stream",
    "method": "it is compressed",
    "time": "it has a time",
    "date": "it has a date",
    "crc": "its two headers disagree about its CRC-32",
    "name": "its two headers disagree about its name",
    "name_length": "its two headers disagree about its name",
    "comment": "it has a comment",
    "attributes": "it is a link, a directory or a device, or has an unusual mode",
    "extra": "its size, its place or its padding is not the one that follows from the rest",
}

_VERSION, _SYSTEM = 45, 3 << 8 | 45  # 4.5: ZIP64. 3: modes are those of Unix
_DATE = 1 << 5 | 1  # 1980-01-01, the first day of the format
_ATTRIBUTES = (stat.S_IFREG | 0o644) << 16
_ALIGNMENT = 0xD935  # the extra field that Android's zipalign pads with
_ALIGNMENT_HEAD = struct.Struct("<3H")
_LONG, _SHORT = 0xFFFFFFFF, 0xFFFF  # "see the ZIP64 field"


@dataclass(frozen=True)
class Member:
    """One file: its name, its size in bytes, and the CRC-32 of its content."""

    name: str
    size: int
    crc: int


def header(member: Member, offset: int) -> bytes:
    """Return what stands before the data of a file; ``offset`` is where it begins, and the data begins on a page."""
    name = member.name.encode("ascii")
    sizes = _SIZES.pack(1, _SIZES.size - 4, member.size, member.size)
    padding = -(offset + _LOCAL.size + len(name) + len(sizes) + _ALIGNMENT_HEAD.size) % PAGE
    extra = sizes + _ALIGNMENT_HEAD.pack(_ALIGNMENT, 2 + padding, PAGE) + bytes(padding)
    fixed = _LOCAL.pack(
        b"PK\3\4", _VERSION, 0, 0, 0, _DATE, member.crc, _LONG, _LONG, len(name), len(extra)
    )  # fmt: skip
    return fixed + name + extra


def directory(members: Sequence[Member]) -> bytes:
    """Return what stands after the data of the last file: the record of each, and the end."""
    offset, records = 0, []
    for member in members:
        records.append(_record(member, offset))
        offset = after(member, offset)
    length = sum(map(len, records))
    return b"".join([*records, _end(len(records), length, offset)])


def after(member: Member, offset: int) -> int:
    """Return where the file's data ends whose header begins at ``offset``."""
    return offset + len(header(member, offset)) + member.size


def read_directory(stream: BinaryIO, where: str) -> list[Member]:
    """Return the files of an untrusted archive, in the order in which they stand in it, without a gap from 0 on.

    Raises ``IntegrityError`` unless the directory is, to the byte, the one that ``directory`` gives for them, and their
    names are safe and sorted. ``check_header`` does the same for the headers.
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - _END.size))
    end = stream.read(_END.size)
    count, length, start = _END.unpack(end)[7:10] if len(end) == _END.size else (0, 0, 0)
    if end != _end(count, length, start) or start + length + _END.size != size:
        raise _foreign(where, "its end is missing, or something stands after it")
    if count > MAX_ENTRIES:
        raise _too_many(where)
    if length > count * (_CENTRAL.size + 1000 + _PLACE.size):  # 1000: is_safe
        raise _foreign(where, "its directory is too long")
    stream.seek(start)
    records, members, at, offset = stream.read(length), list[Member](), 0, 0
    for _ in range(count):
        member, record = _parse(records, at, where)
        _check_name(member.name, members[-1].name if members else "", where)
        if offset + member.size > size:
            raise _foreign(where, "it is larger than the archive", member.name)
        _compare(_CENTRAL, record, _record(member, offset), member, where)
        members.append(member)
        at, offset = at + len(record), after(member, offset)
    if at != length or offset != start:
        raise _foreign(where, "there is something between the files and the directory, or files overlap")
    _check_folders(members, where)
    return members


def check_header(stream: BinaryIO, member: Member, offset: int, where: str) -> None:
    """Read the header at ``offset``, where the stream stands; raises ``IntegrityError`` unless it is ``header``'s."""
    expected = header(member, offset)
    _compare(_LOCAL, stream.read(len(expected)), expected, member, where)


def _record(member: Member, offset: int) -> bytes:
    name = member.name.encode("ascii")
    place = _PLACE.pack(1, _PLACE.size - 4, member.size, member.size, offset)
    fixed = _CENTRAL.pack(
        b"PK\1\2", _SYSTEM, _VERSION, 0, 0, 0, _DATE, member.crc, _LONG, _LONG, len(name), len(place),
        0, 0, 0, _ATTRIBUTES, _LONG,
    )  # fmt: skip
    return fixed + name + place


def _end(count: int, length: int, start: int) -> bytes:
    return _END.pack(
        b"PK\6\6", 44, _SYSTEM, _VERSION, 0, 0, count, count, length, start,
        b"PK\6\7", 0, (start + length) % 2**64, 1,
        b"PK\5\6", 0, 0, _SHORT, _SHORT, _LONG, _LONG, 0,
    )  # fmt: skip


def _parse(records: bytes, at: int, where: str) -> tuple[Member, bytes]:
    """Return what the record at ``at`` is about, and its bytes; only the length of its name is believed."""
    start = at + _CENTRAL.size
    fields = dict(zip(_FIELDS[_CENTRAL], _CENTRAL.unpack(records[at:start].ljust(_CENTRAL.size, b"\0")), strict=True))
    until = start + fields["name_length"]
    record = records[at : until + _PLACE.size]
    if len(record) < until - at + _PLACE.size:
        raise _foreign(where, "its directory is cut off")
    size = _PLACE.unpack_from(record, until - at)[2]
    return Member(record[_CENTRAL.size : until - at].decode("latin-1"), size, fields["crc"]), record


def _check_name(name: str, previous: str, where: str) -> None:
    if not is_safe(name):
        raise IntegrityError(
            f"the archive holds an unsafe path: {shown(name)}", where=where,
            expected="relative names of letters, digits and _.+=@-, with no leading dot",
        )  # fmt: skip
    if name == previous:
        raise IntegrityError(f"the archive holds a file twice: {shown(name)}", where=where)
    if name < previous:
        raise _foreign(where, "it is not in the order of names", name)


def _check_folders(members: Sequence[Member], where: str) -> None:
    names, folders = {member.name for member in members}, set[str]()
    for name in names:
        parts = name.split("/")
        folders.update("/".join(parts[:depth]) for depth in range(1, len(parts)))
        if len(names) + len(folders) > MAX_ENTRIES:
            raise _too_many(where)
    for name in sorted(names & folders):
        raise IntegrityError(f"the archive holds {shown(name)} both as a file and as a directory", where=where)


def _compare(kind: struct.Struct, got: bytes, expected: bytes, member: Member, where: str) -> None:
    if got == expected:
        return
    complaint = "its header is not the one that belongs there"
    if len(got) == len(expected):
        pairs = zip(_FIELDS[kind], kind.unpack_from(got), kind.unpack_from(expected), strict=True)
        start = kind.size + len(member.name)
        other = "extra" if got[kind.size : start] == expected[kind.size : start] else "name"
        field = next((name for name, its, ours in pairs if its != ours), other)
        complaint = _COMPLAINTS.get(field, f"{complaint} ({field.replace('_', ' ')})")
    raise _foreign(where, complaint, member.name)


def _too_many(where: str) -> IntegrityError:
    return IntegrityError(
        "the archive holds too many files", where=where, expected=f"at most {MAX_ENTRIES}, with folders"
    )


def _foreign(where: str, complaint: str, name: str | None = None) -> IntegrityError:
    of = "" if name is None else f" in {shown(name)}"
    return IntegrityError(
        f"this is not an archive as mlopt pack writes it{of}: {complaint}", where=where,
        fix="get the archive again; one that another tool made can be extracted with that tool, then mlopt verify DIR",
    )  # fmt: skip
