"""Where an artifact is made or changed: a hidden folder beside it, which takes what is not finished yet.

So a process that is killed leaves nothing inside an artifact, where a file that nobody signed would spoil it. The next
one to change the artifact clears the leftovers away: only what lies in a folder with mlopt's mark, and is this user's.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from mlopt.artifact.files import sync
from mlopt.core.locks import locked

Write = Callable[[str, bytes], None]
"""Writes the file of this name."""
_MARK = "mlopt-workspace"
_NEW, _OLD = "new", "old"
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@contextmanager
def workspace(target: Path) -> Iterator[Path]:
    """Give an empty folder on the file system of ``target`` while no other process changes ``target``.

    It is removed at the end. Raises ``OSError``, and ``OutputError`` when the lock's name is taken.
    """
    import tempfile

    with locked(lock_of(target), remove=True):
        _recover(target)
        work = Path(tempfile.mkdtemp(prefix=_prefix(target), dir=target.parent))
        try:
            (work / _MARK).touch(exist_ok=False)
            yield work
        finally:
            with suppress(OSError):  # the next one clears up
                _clear(work)


def lock_of(target: Path) -> Path:
    """Return the file that is locked by whoever changes ``target``."""
    return target.with_name(f".{target.name}.lock")


def new_folder(work: Path) -> Path:
    """Make the folder in ``work`` that ``put`` moves into its place."""
    (work / _NEW).mkdir()
    return work / _NEW


def inside(target: Path, path: Path) -> str:
    """Return the name of a file as it will be in the artifact at ``target``, if it lies in a workspace of it."""
    made = [number for number, part in enumerate(path.parts) if part.startswith(_prefix(target))]
    return str(Path(*path.parts[made[0] + 2 :])) if made else str(path)


def put(work: Path, target: Path) -> None:
    """Let the folder from ``new_folder`` take the place of ``target``, in one step where the system has it."""
    new, old = work / _NEW, work / _OLD
    sync([*new.rglob("*"), new])
    if not target.exists():
        new.rename(target)
    elif not _exchanged(new, target):
        target.rename(old)
        try:
            new.rename(target)
        except OSError:
            old.rename(target)
            raise
    sync([target.parent])


@contextmanager
def changing(target: Path) -> Iterator[Write]:
    """Give what writes a file of the artifact at ``target``: whole or as it was, whatever ends this process.

    Where the folder above is not writable, or another file system, a file is unnamed until it is whole; no other
    process is kept away then. Raises as ``workspace`` does.
    """
    target = target.resolve()
    with ExitStack() as stack:
        try:
            work = None if target.is_mount() else stack.enter_context(workspace(target))
        except PermissionError:
            work = None
        yield partial(_link, target) if work is None else partial(_move, work, target)


def _move(work: Path, target: Path, name: str, data: bytes) -> None:
    (work / name).write_bytes(data)
    sync([work / name])
    (work / name).replace(target / name)
    sync([target])


def _link(target: Path, name: str, data: bytes) -> None:
    folder = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with os.fdopen(os.open(target, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o644), "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
            (target / name).unlink(missing_ok=True)
            os.link(f"/proc/self/fd/{stream.fileno()}", name, dst_dir_fd=folder, follow_symlinks=True)
        os.fsync(folder)
    finally:
        os.close(folder)


def _prefix(target: Path) -> str:
    return f".{target.name}.mlopt-"


def _recover(target: Path) -> None:
    """Clear up after processes that were killed; the lock is held, so none of them is at work."""
    import glob

    for left in target.parent.glob(f"{glob.escape(_prefix(target))}*"):
        if not _is_ours(left, stat.S_ISDIR):
            continue
        if not _is_ours(left / _MARK, stat.S_ISREG):
            with suppress(OSError):  # killed before it was marked, and then it is empty; or it belongs to somebody else
                left.rmdir()
            continue
        if not os.path.lexists(target) and _is_ours(left / _OLD, stat.S_ISDIR):
            (left / _OLD).rename(target)
        _clear(left)


def _clear(work: Path) -> None:
    """Remove a workspace, its mark last: so that what is left of it can be told for one."""
    from shutil import rmtree

    for path in work.iterdir():
        if path.name == _MARK:
            continue
        if path.is_dir() and not path.is_symlink():
            rmtree(path)
        else:
            path.unlink()
    (work / _MARK).unlink(missing_ok=True)
    work.rmdir()


def _is_ours(path: Path, kind: Callable[[int], bool]) -> bool:
    """Whether it is there, of this kind and no link to one, and this user's."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return kind(status.st_mode) and status.st_uid == os.geteuid()


def _exchanged(new: Path, target: Path) -> bool:
    """Swap two folders, so that at no time there is none; False where the system cannot do that."""
    import ctypes

    swap = getattr(ctypes.CDLL(None), "renameat2", None)
    names = os.fsencode(new), os.fsencode(target)
    return swap is not None and swap(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0
