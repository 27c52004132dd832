"""What every run starts with: its request, its folders, and the voice in which it tells how far it is."""

from __future__ import annotations

import errno
import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlopt.core.cache import Store, default_root, why_unusable
from mlopt.core.errors import OutputError
from mlopt.results.environment import now
from mlopt.run.request import Request

_LOG = logging.getLogger(__name__)
Notify = Callable[[str, str, float | None], None]
"""Called with the stage at hand and, within it, the detail and the share that is done (0 to 1; None: not known)."""


def silent(_stage: str, _detail: str, _share: float | None) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Started:
    """A request with the folders and the voice of this run."""

    request: Request
    notify: Notify
    store: Store
    scratch: Path
    begun: str
    """When this run began: UTC, ISO 8601."""


@contextmanager
def start(request: Request, notify: Notify) -> Iterator[Started]:
    """Make the folders of a run, and take them away in the end."""
    with _told_by_the_system(), tempfile.TemporaryDirectory(prefix="mlopt-run-") as folder:
        store = Store(_cache(request) or Path(folder) / "cache")
        with store.in_use():
            yield Started(request, notify, store, Path(folder), now())


def _cache(request: Request) -> Path | None:
    """Return where results are kept, if they are."""
    if not request.use_cache:
        return None
    reason = why_unusable(root := default_root())
    if reason is not None:
        _LOG.warning("%s", reason)
    return root if reason is None else None


@contextmanager
def _told_by_the_system() -> Iterator[None]:
    """Turn a missing permission, or a full disk for temporary files, into one clear error."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}:
            raise
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        raise OutputError(
            error.strerror or str(error), where=str(error.filename or tempfile.gettempdir()),
            fix="free some space; TMPDIR=DIR puts temporary files elsewhere" if full else "check its permissions",
        ) from error  # fmt: skip
