"""A CSV file that gives each picture its label, as spreadsheets, annotation tools and data set hubs write it.

Encodings, delimiters and headers differ, so all of them are taken where only one reading makes sense. Where none does,
the error shows what was found.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from mlopt.core.errors import DataError
from mlopt.data.dataset import Array
from mlopt.data.folders import PictureFolder, shown
from mlopt.data.labels import label_array

_DELIMITERS = (",;\t|", " ")
"""A space only where none of the others makes sense."""
_NAMES = {
    "filename": frozenset({
        "filename", "file", "filepath", "fname", "path", "image", "imagename", "imagepath", "imagefile",
        "imagefilename", "img", "imgname", "imgpath", "name", "relpath",
    }),
    "label": frozenset({
        "label", "labels", "class", "classid", "classidx", "classindex", "classname", "category", "categoryid",
        "categoryname", "target", "y",
    }),
}  # fmt: skip
"""What the two columns are called elsewhere: in small letters, without spaces, dots, dashes and underscores."""
_EXPECTED = "a line `filename,label`, then one such row for each image"
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_BOMS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
_Rows = list[tuple[int, list[str]]]


def read_labels(file: Path, folder: Path, classes: Sequence[str] = ()) -> PictureFolder:
    """Return the images of ``folder`` that ``file`` names, in its order, with their labels."""
    if not file.is_file():
        raise DataError("the file with the labels does not exist", where=str(file), fix="check `labels`")
    text, notes = _text(file)
    rows, (of_name, of_label) = _table(text, file, folder)
    files, labels, lines = [], [], []
    for number, row in rows:
        name, label = (row[place].strip() if place < len(row) else "" for place in (of_name, of_label))
        if not name or not label:
            raise DataError("a row lacks a value", where=f"{file}:{number}", got=" | ".join(row),
                            expected="a file name and a label")  # fmt: skip
        if _DECIMAL_COMMA.fullmatch(label):
            raise DataError("a label is a number with a decimal comma", where=f"{file}:{number}", got=label,
                            expected="a class, or a number with a point", fix="write numbers with a point")  # fmt: skip
        files.append(_image(name, folder, f"{file}:{number}"))
        labels.append(label)
        lines.append(number)
    if not files:
        raise DataError("the file names no images", where=str(file), expected=_EXPECTED)
    found = label_array(labels, str(file), lines, classes)
    again = _check_repeated(files, found, labels, lines, file)
    return PictureFolder(tuple(files), found, (), (*notes, *again))


def _check_repeated(
    files: Sequence[Path], found: Array, labels: Sequence[str], lines: Sequence[int], where: Path
) -> Iterator[str]:
    """Raise ``DataError`` if an image has two labels; yield a note if it has one twice, since it then counts twice."""
    first: dict[Path, int] = {}
    again = []
    for row, file in enumerate(files):
        known = first.setdefault(file, row)
        if found[known] != found[row]:
            raise DataError(
                "one image has two labels", where=f"{where}:{lines[row]}",
                got=f"{shown(file.name)} is {labels[row]!r} here, and {labels[known]!r} in line {lines[known]}",
                expected="one label for each image", fix="remove one of the two lines",
            )  # fmt: skip
        again += [row] if known != row else []
    if again:
        rows = "1 row names an image" if len(again) == 1 else f"{len(again)} rows name images"
        yield f"{where.name}: {rows} once more, which then counts as often: line {lines[again[0]]} is the first"


def _text(file: Path) -> tuple[str, tuple[str, ...]]:
    """Return what the file says, and a note if its encoding had to be guessed."""
    content = file.read_bytes()
    marked = next((encoding for bom, encoding in _BOMS.items() if content.startswith(bom)), None)
    try:
        return content.decode(marked or "utf-8"), ()
    except UnicodeDecodeError as error:
        if marked or b"\0" in content:
            raise DataError("this is not a CSV file in UTF-8", where=str(file), got=str(error),
                            fix="save it as CSV UTF-8") from error  # fmt: skip
    return content.decode("cp1252", errors="replace"), (f"{file.name} is not in UTF-8, and was read as Windows-1252",)


def _table(text: str, file: Path, folder: Path) -> tuple[_Rows, tuple[int, int]]:
    """Return the rows below the header, and which columns hold the file's name and the label."""
    found: list[tuple[_Rows, tuple[int, int]]] = []
    first: list[str] = []
    said = re.match(r"sep=(.)\r?\n", text)  # Excel's own way to name the delimiter
    body = text[said.end() :] if said else text
    for delimiters in (said[1],) if said else _DELIMITERS:
        for delimiter in delimiters if not found else ():
            rows = _rows(body, delimiter, file, 2 if said else 1)
            first = max(first, rows[0][1] if rows else [], key=len)
            found += _readings(rows, file, folder)
    if len(found) != 1:
        raise DataError(
            "the file has no columns that name the images and their labels", where=f"{file}:1",
            got=" | ".join(first)[:200] or "an empty file", expected=_EXPECTED,
            fix="call the two columns filename and label, and separate them by a comma",
        )  # fmt: skip
    return found[0]


def _readings(rows: _Rows, file: Path, folder: Path) -> list[tuple[_Rows, tuple[int, int]]]:
    """Return how the rows can be read: below a header, or without one where one of two cells is a file."""
    if not rows:
        return []
    columns = _columns(rows[0][1], file)
    if columns is not None:
        return [(rows[1:], columns)]
    are_files = [_is_image(cell, folder) for cell in rows[0][1]]
    if len(are_files) == 2 and sum(are_files) == 1:
        return [(rows, (are_files.index(True), are_files.index(False)))]
    return []


def _rows(text: str, delimiter: str, file: Path, start: int) -> _Rows:
    """Return all rows that are not blank, each with its line in the file."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        return [(reader.line_num + start - 1, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise DataError("this is not a CSV file", where=f"{file}:{reader.line_num}", got=str(error)) from error


def _columns(header: Sequence[str], file: Path) -> tuple[int, int] | None:
    """Return the places of both columns; None if the row is no header that names them."""
    names = [re.sub(r"[\s._-]", "", name).lower() for name in header]
    places = []
    for wanted, known in _NAMES.items():
        exact = [place for place, name in enumerate(names) if name == wanted]
        alike = exact or [place for place, name in enumerate(names) if name in known]
        if not alike:
            return None
        if len(alike) > 1:
            raise DataError(
                f"several columns may be the {wanted}", where=f"{file}:1",
                got=", ".join(header[place] for place in alike), fix=f"call the one that is meant '{wanted}'",
            )  # fmt: skip
        places += alike
    return places[0], places[1]


def _is_image(name: str, folder: Path) -> bool:
    """Whether a cell of the first row names a file, so that there is no header."""
    try:
        return _image(name.strip(), folder, "").is_file()
    except DataError:
        return False


def _image(name: str, folder: Path, where: str) -> Path:
    """Return the file of that name; raises ``DataError`` if it is absent, or outside the folder."""
    slashed = name.replace("\\", "/")
    file = folder / (name if _exists(folder / name) else slashed)
    if ".." in Path(slashed).parts or not file.absolute().is_relative_to(folder.absolute()):
        raise DataError("the path leaves the image folder", where=where, got=name,
                        expected=f"a path relative to {shown(folder)}")  # fmt: skip
    if not _exists(file):
        raise DataError("the image does not exist", where=where, got=name,
                        expected=f"a path relative to {shown(folder)}")  # fmt: skip
    return file


def _exists(file: Path) -> bool:
    try:
        return file.is_file()
    except (OSError, ValueError):  # a name that is too long, or holds a zero byte
        return False
