"""The log on standard error: foreign text in it passes the same door as all that is printed."""

from __future__ import annotations

import logging

from mlopt.core.foreign_text import inert


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return inert(super().format(record))


def start(*, verbose: bool) -> None:
    """Show warnings, or with ``verbose`` everything; once, however often the program runs in a process."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter())
    logger = logging.getLogger("mlopt")
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING)
    logger.handlers = [handler]
