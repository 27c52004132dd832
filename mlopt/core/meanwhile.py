"""Importing what is needed later while this process waits for another, so that nobody waits for it then."""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def imported(*modules: str) -> Iterator[None]:
    """Import these in a thread, which has ended when the body has: nothing that is timed afterwards is disturbed.

    One that is not there is no error here: whoever needs it says so.
    """

    def run() -> None:
        for name in modules:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join()
