"""A place to look at what is served, off the way of any request: another package may sketch rows and slow nobody.

What does not fit into the queue is dropped, and counted.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
_LOG = logging.getLogger(__name__)


class Observer(Protocol):
    """Who looks; both are called from one thread, which is not that of the requests, ``document`` from any."""

    def seen(self, model: str, digest: str, inputs: Arrays, outputs: Arrays) -> None:
        """Look at one request and its answer, [rows, ...] each; neither may be changed."""
        ...

    def document(self, model: str) -> Mapping[str, Any]:
        """Return what was seen so far, by digest, as JSON has it."""
        ...


class Tap:
    """Hands requests and answers over to an observer, in a thread of its own."""

    def __init__(self, observer: Observer, counted: Callable[[str, str, int], None], most: int = 256) -> None:
        """``counted`` is told model, digest and rows of what was looked at."""
        self.observer = observer
        self.dropped = 0
        self._counted = counted
        self._queue: queue.Queue[tuple[str, str, Arrays, Arrays, int] | None] = queue.Queue(most)
        self._thread = threading.Thread(target=self._look, name="mlopt-tap", daemon=True)
        self._thread.start()

    def offer(self, model: str, digest: str, inputs: Arrays, outputs: Arrays, rows: int) -> None:
        """Hand over a request, or drop it: this never waits."""
        try:
            self._queue.put_nowait((model, digest, inputs, outputs, rows))
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Let the observer see what is queued, and end."""
        self._queue.put(None)
        self._thread.join()

    def _look(self) -> None:
        while (each := self._queue.get()) is not None:
            model, digest, inputs, outputs, rows = each
            try:
                self.observer.seen(model, digest, inputs, outputs)
                self._counted(model, digest, rows)
            except Exception:  # noqa: BLE001 - whatever it raises is no fault of a request
                _LOG.exception("what looks at requests failed; the requests did not")
                self.dropped += 1
