"""Writing what a verb was asked to write: whole or not at all, and a clear error if it cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlopt.artifact.files import write_atomic
from mlopt.core.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Write ``path`` through a temporary file beside it."""
    try:
        write_atomic(path, text.encode())
    except OSError as error:
        raise OutputError(
            f"the file cannot be written: {error.strerror}", where=str(path), fix="choose another"
        ) from error
