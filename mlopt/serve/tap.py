"""A place to look at what is served. Who looks is called in place, between two requests: handing over to a thread takes
longer than a sketch of a row does, so it must be thrifty by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
_LOG = logging.getLogger(__name__)


class Observer(Protocol):
    """Who looks. Every request waits for ``seen``, so it is to take a small share of the time, however much comes."""

    def seen(self, model: str, digest: str, inputs: Arrays, outputs: Arrays) -> None:
        """Look at one request and its answer, [rows, ...] each; neither may be changed or kept."""
        ...

    def document(self, model: str) -> Mapping[str, Any]:
        """Return what was seen so far, by digest, as JSON has it; called from any thread."""
        ...


class Tap:
    """Shows requests and answers to an observer, whose faults are its own."""

    def __init__(self, observer: Observer, counted: Callable[[str, str, int], None]) -> None:
        """``counted`` is told model, digest and rows of what was shown."""
        self.observer = observer
        self.failed = 0
        self._counted = counted

    def show(self, model: str, digest: str, inputs: Arrays, outputs: Arrays, rows: int) -> None:
        """Show a request; the first fault of the observer is logged, and all are counted."""
        try:
            self.observer.seen(model, digest, inputs, outputs)
            self._counted(model, digest, rows)
        except Exception:  # noqa: BLE001 - whatever it raises is no fault of a request
            self.failed += 1
            if self.failed == 1:
                _LOG.exception("what looks at requests failed; the requests did not")
