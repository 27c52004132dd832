"""The log on standard error: foreign text in it passes the same door as all that is printed."""

from __future__ import annotations

import logging
import sys

from mlopt.core.foreign_text import inert


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return inert(super().format(record))


def start(*, verbose: bool = False, quiet: bool = False) -> None:
    """Show warnings, with ``verbose`` everything, with ``quiet`` nothing but results and errors.

    Each call begins anew, however often the program runs in a process.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter())
    logger = logging.getLogger("mlopt")
    logger.setLevel(logging.DEBUG if verbose else logging.ERROR if quiet else logging.WARNING)
    logger.handlers = [handler]
    console = sys.modules.get("mlopt.cli.console")
    if quiet or console is not None:
        from mlopt.cli.console import err

        err.quiet = quiet
