"""What every run starts with: its request, its folders, and the voice in which it tells how far it is."""

from __future__ import annotations

import errno
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mlopt.core import nursery, shared_cache, voice
from mlopt.core.cache import Store, default_root, why_unusable
from mlopt.core.errors import OutputError
from mlopt.results.environment import now
from mlopt.run.request import Request
from mlopt.run.timeline import Notify, Timeline

_LOG = logging.getLogger(__name__)
_WARM = (
    "numpy", "onnx", "onnxruntime", "mlopt.run.step", "mlopt.run.inputs", "mlopt.measure.bench",
    "mlopt.measure.outputs", "mlopt.passes.table",
)  # fmt: skip
"""What most workers import."""


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
    say: voice.Say = voice.unsaid
    """Called with a line for whoever waits: a remark, or what the recipe's Python prints."""
    timeline: Timeline = field(default_factory=lambda: Timeline(silent))


@contextmanager
def start(request: Request, notify: Notify, say: voice.Say = voice.unsaid) -> Iterator[Started]:
    """Make the folders of a run, and take them away in the end; ``say`` is as of ``Started``."""
    timeline = Timeline(notify)
    with (
        _told_by_the_system(), tempfile.TemporaryDirectory(prefix="mlopt-run-") as folder,
        voice.heard(voice.Listener(timeline.within, say)), nursery.opened(_WARM),
    ):  # fmt: skip
        kept = _cache(request)
        store = Store(kept, shared_cache.configured()) if kept else Store(Path(folder) / "cache")
        with store.in_use():
            yield Started(
                request, timeline.tell, store, Path(folder), begun=now(), say=say, timeline=timeline
            )  # fmt: skip


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
