"""Fingerprints and a content-addressed store: work whose inputs did not change is not done again.

An entry lies in ``<root>/<group>/<fingerprint>/``. It appears by one rename, so it is whole or absent,
whatever kills a run; of two runs that need the same entry, one makes it and the other waits. Failures are never stored.

What is kept ends up in signed artifacts. So an entry that is not as it was made, or that another user may have made or
moved there, is none: it is made again. A whole cache that others can write to is not used.

Behind it may stand a ``SharedCache``: what is missing here is fetched from there, and what is made here goes there.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlopt.core.cache_entry import Entry, Key, content_of, differences, digests_of, read_entry
from mlopt.core.errors import OutputError
from mlopt.core.locks import locked
from mlopt.core.ownership import distrusted
from mlopt.core.shared_cache import SharedCache

_LOG = logging.getLogger(__name__)
_FULL_BELOW_BYTES = 1 << 16
_NO_GROUPS = {"tmp", "locks", "logs", "unfinished", "history", "studies"}
_UNWRITABLE = {
    errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST,
}  # fmt: skip


class Store:
    """The cache in one directory; any number of processes may use it at once."""

    def __init__(self, root: Path, shared: SharedCache | None = None) -> None:
        self.root = root
        self._shared = shared
        self._seen: set[str] = set()
        """The fingerprints of entries that were found whole, so that large files are not read again and again."""

    def get(self, key: Key) -> Entry | None:
        """Return the entry, or None; its files are not looked at. A hit counts as use for ``gc``."""
        entry = read_entry(self._path(key))
        if entry is not None:
            with contextlib.suppress(OSError):  # the entry may be owned by someone else: then its age stays as it is
                os.utime(entry.path)
        return entry

    def fetch(self, key: Key, make: Callable[[Path], Mapping[str, Any]]) -> tuple[Entry, bool]:
        """Return the entry and whether it was there; otherwise ``make(out)`` fills ``out`` and returns its JSON.

        An entry that is damaged counts as not there.
        """
        found = self._whole(key)
        if found is not None:
            return found, True
        with writing(self.root), self._held(key):
            found = self._whole(key)
            if found is not None:
                return found, True
            if os.path.lexists(path := self._path(key)):
                _LOG.warning("%s is damaged, or not this user's alone, and is made again", path)
            if (fetched := self._fetched(key)) is not None:
                return fetched, True
            made = self._made(key, make)
            if self._shared is not None:
                self._shared.push(key, made)
            return made, False

    def _path(self, key: Key) -> Path:
        return self.root / key.group / key.fingerprint

    @contextlib.contextmanager
    def _held(self, key: Key) -> Iterator[None]:
        self._make_root()
        with locked(self.root / "locks" / key.fingerprint):
            yield

    def _make_root(self) -> None:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _whole(self, key: Key) -> Entry | None:
        """Return the entry if each of its files is as it was made."""
        found = self.get(key)
        if found is not None and (key.fingerprint in self._seen or digests_of(found.out) == dict(found.files)):
            self._seen.add(key.fingerprint)
            return found
        return None

    def _fetched(self, key: Key) -> Entry | None:
        """Return an entry from the shared cache, once it lies here."""
        if self._shared is None:
            return None
        with self._working(key) as work:
            found = self._shared.fetch(key, work)
            return None if found is None else self._put(key, found)

    def _made(self, key: Key, make: Callable[[Path], Mapping[str, Any]]) -> Entry:
        with self._working(key) as work:
            (work / "out").mkdir()
            with asking_the_disk(self.root):
                result = make(work / "out")
            files = digests_of(work / "out")
            if files is None:
                raise OutputError(
                    "what was to be kept is no plain file", where=str(work), fix="--no-cache does without the cache"
                )
            (work / "entry.json").write_text(content_of(key, result, files), encoding="utf-8")
            (work / "entry.json").chmod(0o600)
            made = self._put(key, Entry(work, key.label, key.parts, result, files))
        shutil.rmtree(self.unfinished(key), ignore_errors=True)
        return made

    @contextlib.contextmanager
    def _working(self, key: Key) -> Iterator[Path]:
        """Give a folder in which an entry is got ready, and take away what is left of it."""
        work = self.root / "tmp" / f"{key.fingerprint[:16]}-{os.getpid()}-{time.monotonic_ns()}"
        for folder in (work.parent, self._path(key).parent):
            folder.mkdir(mode=0o700, exist_ok=True)
        work.mkdir(mode=0o700)
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _put(self, key: Key, ready: Entry) -> Entry:
        """Let an entry appear in its place, and return it; or the one that another machine has put there meanwhile.

        On some network file systems a lock holds on one machine only.
        """
        final = self._path(key)
        if os.path.lexists(final):
            if (there := self._whole(key)) is not None:
                return there
            _remove(final)
        ready.path.rename(final)
        self._seen.add(key.fingerprint)
        return replace(ready, path=final)

    def unfinished(self, key: Key) -> Path:
        """Return where work on this entry may keep what it has, to go on after it was killed; ``fetch`` removes it."""
        return self.root / "unfinished" / key.fingerprint

    def forget(self, entry: Entry) -> None:
        """Remove one entry."""
        self._seen.discard(entry.path.name)
        shutil.rmtree(entry.path, ignore_errors=True)

    def entries(self) -> list[tuple[str, Entry]]:
        """Return all entries with their groups, the newest first."""
        groups = (path for path in self.root.glob("*") if path.is_dir() and path.name not in _NO_GROUPS)
        found = [(group.name, read_entry(path)) for group in groups for path in group.iterdir()]
        whole = [(group, entry) for group, entry in found if entry is not None]
        return sorted(whole, key=lambda item: item[1].path.stat().st_mtime, reverse=True)

    def why_missing(self, key: Key) -> str:
        """Say in one line what differs from the latest entry of the same label."""
        for group, entry in self.entries():
            if group == key.group and entry.label == key.label and entry.parts != key.parts:
                return "; ".join(differences(entry.parts, key.parts))
        return "not done before"

    def gc(self, max_age_days: float, max_bytes: int | None = None) -> tuple[int, int]:
        """Remove entries unused for ``max_age_days``, then the oldest beyond ``max_bytes``; return count and bytes.

        Raises ``OutputError`` while a run uses the cache.
        """
        if not self.root.exists():
            return 0, 0
        with locked(self.root / "in-use.lock", wait=False, busy="a run is using the cache"):
            shutil.rmtree(self.root / "tmp", ignore_errors=True)
            kept, removed, freed, now = 0, 0, 0, time.time()
            for folder in self.root.glob("unfinished/*"):
                if now - folder.stat().st_mtime > max_age_days * 86400:
                    shutil.rmtree(folder, ignore_errors=True)
            for _, entry in self.entries():
                size = size_of(entry.path)
                too_old = now - entry.path.stat().st_mtime > max_age_days * 86400
                if too_old or (max_bytes is not None and kept + size > max_bytes):
                    self.forget(entry)
                    removed, freed = removed + 1, freed + size
                else:
                    kept += size
        return removed, freed

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep ``gc`` of other processes away while a run holds paths into the store."""
        with contextlib.ExitStack() as stack:
            with writing(self.root):
                self._make_root()
                stack.enter_context(locked(self.root / "in-use.lock", shared=True))
            yield


def why_unusable(root: Path) -> str | None:
    """Return in words why a cache is not to be used, and what to do; None if it may be, or is not there yet."""
    folders = [root, *(path for path in root.glob("*") if path.is_dir())]
    reason = next((found for path in folders if (found := _distrusted(path)) is not None), None)
    if reason is None:
        return None
    mend = f"`rm -r {root}` starts a new one, MLOPT_CACHE=DIR puts it elsewhere"
    return f"the cache {root} is not used, and nothing is kept: {reason}; {mend}"


def _distrusted(path: Path) -> str | None:
    try:
        return distrusted(path.stat())
    except OSError:
        return None


def default_root() -> Path:
    """Return ``$MLOPT_CACHE``, or the user's cache folder."""
    import platformdirs

    chosen = os.environ.get("MLOPT_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("mlopt"))


def size_of(path: Path) -> int:
    """Return the bytes of all files below ``path``."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


@contextlib.contextmanager
def asking_the_disk(root: Path) -> Iterator[None]:
    """Turn any failure on a full disk into that of a full disk: libraries say it in their own ways, or not at all."""
    try:
        yield
    except Exception as error:
        if shutil.disk_usage(root).free < _FULL_BELOW_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(root)) from error
        raise


@contextlib.contextmanager
def writing(root: Path) -> Iterator[None]:
    """Turn what the operating system says when it cannot write into one clear error."""
    try:
        yield
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        blocked = isinstance(error, FileExistsError | NotADirectoryError)
        reason = "a file is in the way of a directory" if blocked else error.strerror
        fix = "MLOPT_CACHE=DIR (with --no-cache, TMPDIR=DIR) puts the cache elsewhere"
        raise OutputError(
            f"the cache cannot be written: {reason}", where=str(error.filename or root),
            fix=f"free some space, such as with `mlopt cache gc`; {fix}" if full else fix,
        ) from error  # fmt: skip


def _remove(path: Path) -> None:
    """Remove what stands where an entry belongs, whatever it is."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
