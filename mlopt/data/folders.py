"""Which files of an image folder are pictures, and which class each is in: as torchvision's ImageFolder has it.

Each folder directly below is a class, whatever lies in it, and classes are numbered in the order of their names as
text. Numbering only the folders in which a picture was found would shift every label behind one that holds a format
that is not known. Links are followed. What is left out is said, since it may have been meant.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from mlopt.core.errors import DataError
from mlopt.data.dataset import Array
from mlopt.data.labels import numbered
from mlopt.data.pictures import FORMATS, why_no_picture
from mlopt.formats.model import digest_file, digest_files

_SYSTEM = frozenset({"__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini"})
"""What Windows, macOS and network disks leave behind, apart from files that start with a dot."""
_SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing", "eval", "evaluation"})
_SHOWN = 3


@dataclass(frozen=True)
class PictureFolder:
    """The pictures of a folder in order, their labels [pictures] if they have some, and all class folders by number."""

    files: tuple[Path, ...]
    labels: Array | None
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def find_pictures(folder: Path, numbering: Sequence[str] = ()) -> PictureFolder:
    """Return the pictures in the subfolders, each a class, which take turns; or those in the folder itself.

    Classes are numbered as ``numbering`` has their names, or without it in the order of the names.

    Raises ``DataError`` if there is none, or none in a class that has files.
    """
    files, folders = files_below(folder)
    reasons = {file: why_no_picture(file) for file in files}
    pictures = [file for file in files if reasons[file] is None]
    odd = {file: reason for file, reason in reasons.items() if reason is not None}
    if not pictures:
        got = f"{len(files)} files, such as {shown(files[0])}: {odd[files[0]]}" if files else "no files"
        raise DataError("there are no images in this folder", where=shown(folder), got=got,
                        expected=", ".join(FORMATS))  # fmt: skip
    notes = [f"{_counted(odd, folder)} is no picture, and was left out"] if len(odd) == 1 else []
    notes += [f"{_counted(odd, folder)} are no pictures, and were left out"] if len(odd) > 1 else []
    notes += _hidden(folder)
    parts = [file.relative_to(folder).parts for file in pictures]
    if all(len(part) == 1 for part in parts):
        return PictureFolder(tuple(pictures), None, (), tuple(notes))
    if stray := next((file for file, part in zip(pictures, parts, strict=True) if len(part) == 1), None):
        raise DataError(
            "an image lies beside the class folders, so it has no class", where=shown(stray),
            expected="every image in a subfolder, or none",
            fix="move it, or name the classes in a CSV file with `labels`",
        )  # fmt: skip
    classes = sorted(path.name for path in folders if path.parent == folder)
    _check_classes(folder, classes, files, odd, nested=any(len(part) > 2 for part in parts))
    own = [part[0] for part in parts]
    order = _in_turn(own)
    if not numbering:
        notes += _remarks(classes, set(own))
    names = tuple(numbering or classes)
    labels = numbered([own[index] for index in order], names, shown(folder))
    return PictureFolder(tuple(pictures[index] for index in order), labels, names, tuple(notes))


def files_below(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return all visible files and folders below ``folder``, in the order of their paths, links followed."""
    files: list[Path] = []
    folders: list[Path] = []
    for path, is_folder in _walk(folder, (folder.resolve(),)):
        (folders if is_folder else files).append(path)
    return sorted(files), sorted(folders)


def digest_of(path: Path) -> str | None:
    """Return the digest of a file, or of what is seen in a folder; None if there is nothing (reading will say so)."""
    if path.is_file():
        return digest_file(path)
    if not path.is_dir():
        return None
    files, folders = files_below(path)
    files = [file for file in files if file.is_file()]
    names = "\n".join(str(folder.relative_to(path)) for folder in folders)  # an empty one is a class, too
    return f"{digest_files(files, path) if files else ''} {sha256(os.fsencode(names)).hexdigest()}"


def shown(path: Path | str) -> str:
    """Return a path as text that can be printed and stored: names on disk may hold any bytes."""
    return os.fsencode(path).decode("utf-8", errors="replace")


def _walk(folder: Path, above: tuple[Path, ...]) -> Iterator[tuple[Path, bool]]:
    """Yield what is visible below, and whether it is a folder; not what a link makes a part of itself."""
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise DataError("the folder cannot be read", where=shown(folder), got=error.strerror,
                        fix="check its permissions") from error  # fmt: skip
    for path in (path for path in paths if _is_visible(path.name)):
        if not path.is_dir():
            yield path, False
            continue
        real = path.resolve()
        if real not in above:
            yield path, True
            yield from _walk(path, (*above, real))


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name not in _SYSTEM


def _check_classes(
    folder: Path, classes: Sequence[str], files: Sequence[Path], odd: dict[Path, str], *, nested: bool
) -> None:
    """Raise ``DataError`` for folders that hold no picture although they hold files, and for splits."""
    if nested and _SPLITS.issuperset(name.lower() for name in classes):
        raise DataError(
            "the folders are parts of a data set, and not classes", where=shown(folder), got=", ".join(classes),
            expected="a folder for each class", fix=f"name one of them: source: {shown(folder / classes[-1])}",
        )  # fmt: skip
    for name in classes:
        own = [file for file in files if file.relative_to(folder).parts[0] == name]
        if own and all(file in odd for file in own):
            raise DataError(
                f"no image of the class '{shown(name)}' can be read", where=shown(folder / name),
                got=f"{len(own)} files, such as {shown(own[0].name)}: {odd[own[0]]}",
                expected=", ".join(FORMATS), fix="convert its images, or move the folder away if it is no class",
            )  # fmt: skip


def _remarks(classes: Sequence[str], filled: set[str]) -> Iterator[str]:
    """Yield what the numbering of the classes may have got wrong."""
    empty = [name for name in classes if name not in filled]
    if empty:
        several = "class folders are empty, and keep their numbers" if len(empty) > 1 else ""
        yield f"{len(empty)} {several or 'class folder is empty, and keeps its number'}: {_listed(empty)}"
    if len(classes) == 1:
        yield f"there is one class folder only, '{shown(classes[0])}', so every label is 0"
    elif all(name.isdecimal() for name in classes):
        moved = [(name, place) for place, name in enumerate(classes) if int(name) != place]
        if moved:
            name, place = moved[0]
            yield (
                f"class folders are numbered in the order of their names as text, as torchvision does: folder '{name}' "
                f"is class {place}. If the names are the model's own numbers, give them in a CSV file with `labels`"
            )


def _hidden(folder: Path) -> Iterator[str]:
    """Yield a note on folders whose names start with a dot: other tools may have counted them as classes."""
    names = sorted(path.name for path in folder.iterdir() if path.name.startswith(".") and path.is_dir())
    if names:
        yield f"hidden folders were left out: {_listed(names)}"


def _in_turn(classes: Sequence[str]) -> list[int]:
    """Return the positions with the classes taking turns, so that a part of them, such as the first half, has all."""
    rank = dict.fromkeys(classes, 0)
    turns = []
    for index, name in enumerate(classes):
        turns.append((rank[name], name, index))
        rank[name] += 1
    return [index for *_, index in sorted(turns)]


def _counted(odd: dict[Path, str], folder: Path) -> str:
    names = [str(file.relative_to(folder)) for file in odd]
    return f"{len(odd)} file{'s' if len(odd) > 1 else ''} ({_listed(names)})"


def _listed(names: Sequence[str]) -> str:
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(shown(name) for name in names[:_SHOWN]) + more
