"""Writing what a verb was asked to write: whole or not at all, and a clear error if it cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlopt.artifact.files import write_atomic
from mlopt.core.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path


def check_beside(recipe: Path, new: Path, option: str) -> None:
    """Raise ``OutputError`` unless ``new`` is another file in a recipe's folder; ``option`` is what named it."""
    if new.resolve() == recipe.resolve():
        fix = f"name another file with {option}"
        raise OutputError("the recipe itself is not overwritten", where=str(new), fix=fix)
    if new.resolve().parent != recipe.resolve().parent:
        raise OutputError(
            "the paths in a recipe start from its folder, so the new one must stand beside it", where=str(new),
            expected=str(recipe.parent), fix=f"{option} {recipe.with_name(new.name)}",
        )  # fmt: skip


def write_text(path: Path, text: str) -> None:
    """Write ``path`` through a temporary file beside it."""
    try:
        write_atomic(path, text.encode())
    except OSError as error:
        raise OutputError(
            f"the file cannot be written: {error.strerror}", where=str(path), fix="choose another"
        ) from error
