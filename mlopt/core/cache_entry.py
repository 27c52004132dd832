"""What the cache keeps: an entry, what its fingerprint is made of, and whether it is still as it was made.

An entry is a directory with ``entry.json`` (what the fingerprint was made of, the result, and a digest of each file)
and ``out/`` (the files).
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlopt.core.file_digest import digest_of
from mlopt.core.ownership import distrusted

Parts = Mapping[str, Any]


@dataclass(frozen=True)
class Key:
    """What a piece of work depends on. ``label`` names it for people; it is not part of the fingerprint."""

    group: str
    label: str
    parts: Parts

    @property
    def fingerprint(self) -> str:
        """The full SHA-256 over group and parts as canonical JSON."""
        text = json.dumps([self.group, self.parts], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Entry:
    """A stored result: ``out`` holds its files, ``result`` is the JSON that its maker returned."""

    path: Path
    label: str
    parts: Parts
    result: Mapping[str, Any]
    files: Mapping[str, str]
    """The SHA-256 of each, by its name relative to ``out``."""

    @property
    def out(self) -> Path:
        """The directory with the files."""
        return self.path / "out"


def content_of(key: Key, result: Mapping[str, Any], files: Mapping[str, str]) -> str:
    """Return what ``entry.json`` holds."""
    content = json.loads(json.dumps({"label": key.label, "parts": key.parts, "result": result, "files": files}))
    return json.dumps({**content, "digest": _digest(content)}, indent=1)


def differences(old: Parts, new: Parts) -> list[str]:
    """Say what differs, a line each: ``config.opset: 20 -> 18``; of digests only that they changed."""
    before, after = _flat(old), _flat(new)
    lines = []
    for name in dict.fromkeys([*before, *after]):
        was, now = before.get(name), after.get(name)
        if was != now:
            digests = isinstance(was, str) and isinstance(now, str) and len(was) == len(now) == 64
            lines.append(f"{name} changed" if digests else f"{name}: {was} -> {now}")
    return lines


def read_entry(path: Path) -> Entry | None:
    """Read an entry; None if it is absent, damaged, of another user, or another than its folder's name says."""
    try:
        kinds = ((path.parent, stat.S_ISDIR), (path, stat.S_ISDIR), (path / "entry.json", stat.S_ISREG))
        if not all(_is_own(place, kind) for place, kind in kinds):
            return None
        content = json.loads((path / "entry.json").read_bytes())
        digest = content.pop("digest")
        entry = Entry(path, **content)
        same = digest == _digest(content)
        return entry if same and Key(path.parent.name, entry.label, entry.parts).fingerprint == path.name else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _is_own(path: Path, kind: Callable[[int], bool]) -> bool:
    status = path.lstat()
    return kind(status.st_mode) and distrusted(status) is None


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def digests_of(out: Path) -> dict[str, str] | None:
    """Return the SHA-256 of each file below ``out``, by name; None if one is a link, or of another user."""
    found: dict[str, str] = {}
    try:
        for path in sorted(out.rglob("*")):
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode):
                continue
            if not stat.S_ISREG(status.st_mode) or status.st_uid not in {0, os.geteuid()}:
                return None
            found[path.relative_to(out).as_posix()] = digest_of(path)
    except OSError:
        return None
    return found


def _flat(parts: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(parts, Mapping):
        return {prefix: parts}
    return {
        key: value
        for name, part in parts.items()
        for key, value in _flat(part, f"{prefix}.{name}" if prefix else str(name)).items()
    }
