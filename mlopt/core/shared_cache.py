"""A cache that machines share, wherever fsspec can write: what one has made, another one fetches.

It stands behind a ``Store``, which asks it for an entry that it lacks and gives it what it has made. Files lie in
``blobs/`` under their SHA-256, and an entry's own JSON, which names them, is written last: so an entry is whole or not
there, and two machines that write the same one do not disturb each other. Storage without a rename suffices for that.

What is fetched is held against its digests, and what does not fit is not there. That finds damage, not forgery: who can
write to the storage can write entries, so it is trusted as the user's own cache is. Storage that cannot be reached is a
warning, once, and no run fails for it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from mlopt.core import network
from mlopt.core.cache_entry import Entry, Key, digests_of, read_entry

_LOG = logging.getLogger(__name__)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_ENTRY_BYTES = 1 << 26
VARIABLE = "MLOPT_SHARED_CACHE"
"""Names it. No key of ``.mlopt.toml`` does: what comes with a project is not to choose whose results are believed."""


class SharedCache:
    """The entries below a URL: ``s3://bucket/prefix``, ``file:///mnt/cache``, or what else fsspec has plug-ins for."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._opened: tuple[Any, str] | None = None
        self._off = False
        self._damaged: set[str] = set()
        """Digests of files that were found to be otherwise, and are to be written again."""

    def fetch(self, key: Key, work: Path) -> Entry | None:
        """Return the entry, in a folder of its own below ``work``; None if it is not there as it was made."""
        if self._off:
            return None
        try:
            with network.opened():
                return self._fetched(key, work / key.group / key.fingerprint)
        except Exception as error:  # noqa: BLE001 - each kind of storage fails in its own way
            self._give_up(error)
            return None

    def push(self, key: Key, entry: Entry) -> None:
        """Give it an entry that was just made."""
        if self._off:
            return
        try:
            with network.opened():
                self._pushed(key, entry)
        except Exception as error:  # noqa: BLE001 - each kind of storage fails in its own way
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._off = True
        said = " ".join(str(error).split())[:300]
        _LOG.warning("the shared cache %s is not used any more: %s: %s", self.url, type(error).__name__, said)

    def _storage(self) -> tuple[Any, str]:
        if self._opened is None:
            import fsspec

            self._opened = fsspec.core.url_to_fs(self.url)
        return self._opened

    def _fetched(self, key: Key, folder: Path) -> Entry | None:
        storage, base = self._storage()
        place = _entry_place(base, key)
        try:
            content = storage.cat_file(place, end=_MAX_ENTRY_BYTES)
        except FileNotFoundError:
            return None
        files = _files_of(content)
        if files is None:
            return _not_as_made(place, "its JSON says something else than an entry does")
        for each in (folder.parent, folder, folder / "out"):
            each.mkdir(mode=0o700)
        _written(folder / "entry.json", content)
        if (entry := read_entry(folder)) is None:
            return _not_as_made(place, "its JSON is not what its digest, or its name, says")
        for name, digest in files.items():
            target = folder / "out" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if not _copied(storage, _blob_place(base, digest), target, digest):
                self._damaged.add(digest)
                return _not_as_made(place, f"{name} is missing, or is not what its digest says")
        return entry if digests_of(entry.out) == dict(entry.files) else None

    def _pushed(self, key: Key, entry: Entry) -> None:
        storage, base = self._storage()
        for name, digest in entry.files.items():
            place, source = _blob_place(base, digest), entry.out / name
            if digest in self._damaged or not _is_there(storage, place, source.stat().st_size):
                _uploaded(storage, source, place)
        storage.makedirs(_parent(_entry_place(base, key)), exist_ok=True)
        storage.pipe_file(_entry_place(base, key), (entry.path / "entry.json").read_bytes())


def configured() -> SharedCache | None:
    """Return what ``MLOPT_SHARED_CACHE`` names; None if it names nothing."""
    url = os.environ.get(VARIABLE)
    return SharedCache(url) if url else None


def _not_as_made(place: str, reason: str) -> Entry | None:
    _LOG.warning("%s, of the shared cache, is not as it was made, and does not count: %s", place, reason)
    return None


def _entry_place(base: str, key: Key) -> str:
    return f"{base.rstrip('/')}/entries/{key.group}/{key.fingerprint}.json"


def _blob_place(base: str, digest: str) -> str:
    return f"{base.rstrip('/')}/blobs/{digest[:2]}/{digest}"


def _parent(place: str) -> str:
    return place.rpartition("/")[0]


def _files_of(content: bytes) -> Mapping[str, str] | None:
    """Return the files that an entry's JSON names; None if a name would leave its folder, or a digest is none."""
    try:
        files = json.loads(content)["files"]
        sound = all(_is_inside(name) and _SHA256.fullmatch(digest) for name, digest in files.items())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return files if sound else None


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    plain = not path.is_absolute() and ".." not in path.parts and "\0" not in name and "\\" not in name
    return plain and path.as_posix() == name and name != "."


def _is_there(storage: Any, place: str, size: int) -> bool:
    try:
        return bool(storage.info(place)["size"] == size)
    except FileNotFoundError:
        return False


def _uploaded(storage: Any, source: Path, place: str) -> None:
    storage.makedirs(_parent(place), exist_ok=True)
    with source.open("rb") as read, storage.open(place, "wb") as written:
        shutil.copyfileobj(read, written, 1 << 20)


def _copied(storage: Any, place: str, target: Path, digest: str) -> bool:
    """Copy a file from the storage; whether it is what its digest says."""
    seen = hashlib.sha256()
    try:
        with storage.open(place, "rb") as read, target.open("xb") as written:
            while block := read.read(1 << 20):
                seen.update(block)
                written.write(block)
    except FileNotFoundError:
        return False
    return seen.hexdigest() == digest


def _written(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    file.chmod(0o600)
