"""The forms of one record, written beside each other: what a study and a load test leave in their folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mlopt.artifact.files import write_atomic
from mlopt.core.errors import OutputError


def write(folder: Path, texts: Mapping[str, str], *, what: str, fix: str) -> None:
    """Write texts by the name of their file, each whole or not at all; the folder is made if need be.

    Raises ``OutputError``, which names ``what`` they are of, and says how to ``fix`` it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            write_atomic(folder / name, text.encode())
    except OSError as error:
        raise OutputError(f"{what} cannot be written: {error.strerror}", where=str(folder), fix=fix) from error
