"""Writing what a verb was asked to write: whole or not at all, and a clear error if it cannot be."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mlopt.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Write ``path`` through a temporary file beside it."""
    work = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        work.write_text(text, encoding="utf-8")
        work.replace(path)
    except OSError as error:
        work.unlink(missing_ok=True)
        raise OutputError(
            f"the file cannot be written: {error.strerror}", where=str(path), fix="choose another"
        ) from error
