"""Which files of a folder are pictures, and their classes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from mlopt.core.errors import DataError, Problem
from mlopt.data.folders import find_pictures

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed (the extra mlopt[data])")

KINDS = ("png", "gif", "bmp", "webp", "tiff", "jpg", "jpeg", "ppm", "pgm", "tif", "jp2", "PNG", "JPG", "dat")


def picture(file: Path, kind: str | None = None) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L" if file.suffix == ".pgm" else "RGB", (4, 4)).save(file, format=kind)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("ant/1.png", "ant/2.png", "bee/1.png", "cat/deep/1.png"):
        picture(tmp_path / "images" / name)
    return tmp_path / "images"


def labels(folder: Path) -> dict[str, list[int]]:
    found = find_pictures(folder)
    assert found.labels is not None
    by_class: dict[str, list[int]] = {}
    for file, label in zip(found.files, found.labels.tolist(), strict=True):
        by_class.setdefault(file.relative_to(folder).parts[0], []).append(label)
    return by_class


def problem_of(folder: Path) -> Problem:
    with pytest.raises(DataError) as caught:
        find_pictures(folder)
    return caught.value.problems[0]


@pytest.mark.parametrize("kind", KINDS)
def test_labels_do_not_depend_on_the_format(kind: str, folder: Path) -> None:
    expected = labels(folder)
    for file in (folder / "ant").iterdir():
        file.unlink()
        picture(file.with_suffix(f".{kind}"), "PNG" if kind == "dat" else None)
    assert labels(folder) == expected
    assert find_pictures(folder).notes == ()


def test_every_visible_folder_has_a_number(folder: Path) -> None:
    (folder / "aaa").mkdir()
    picture(folder / ".ipynb_checkpoints/1.png")
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX/._1.png").touch()
    (folder / "ant/Thumbs.db").touch()
    (folder / "bee/notes.txt").write_text("not an image")
    (folder / "bee/cut.jpg").write_bytes(b"\xff\xd8")
    assert labels(folder) == {"ant": [1, 1], "bee": [2], "cat": [3]}
    assert find_pictures(folder).notes == (
        "2 files (bee/cut.jpg, bee/notes.txt) are no pictures, and were left out",
        "hidden folders were left out: .ipynb_checkpoints",
        "1 class folder is empty, and keeps its number: aaa",
    )


def test_links_are_followed_and_loops_are_not(folder: Path, tmp_path: Path) -> None:
    shutil.move(folder / "ant", tmp_path / "elsewhere")
    (folder / "ant").symlink_to(tmp_path / "elsewhere")
    (folder / "bee/linked.png").symlink_to(tmp_path / "elsewhere/1.png")
    (folder / "bee/loop").symlink_to(folder)
    (folder / "cat/itself").symlink_to(folder / "cat")
    (folder / "cat/dead.png").symlink_to("nowhere.png")
    os.mkfifo(folder / "cat/pipe.png")
    assert labels(folder) == {"ant": [0, 0], "bee": [1, 1], "cat": [2]}
    assert find_pictures(folder).notes == ("2 files (cat/dead.png, cat/pipe.png) are no pictures, and were left out",)


def test_a_class_without_a_readable_picture_is_an_error(folder: Path) -> None:
    (folder / "dog").mkdir()
    (folder / "dog/1.png").write_bytes(b"%PDF-1.4")
    (folder / "dog/2.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0")
    problem = problem_of(folder)
    assert (problem.what, problem.where) == ("no image of the class 'dog' can be read", str(folder / "dog"))
    assert problem.got is not None
    assert problem.got.startswith("2 files, such as 1.png: it is none of")


def test_numbers_as_names_are_in_the_order_of_text(tmp_path: Path) -> None:
    for name in ("0", "1", "10", "2"):
        picture(tmp_path / name / "1.png")
    assert labels(tmp_path) == {"0": [0], "1": [1], "10": [2], "2": [3]}
    (note,) = find_pictures(tmp_path).notes
    assert "folder '10' is class 2" in note
    shutil.rmtree(tmp_path / "10")
    assert find_pictures(tmp_path).notes == ()


def test_parts_of_a_data_set_are_no_classes(folder: Path) -> None:
    both = folder.parent / "both"
    shutil.copytree(folder, both / "train")
    shutil.copytree(folder, both / "val")
    problem = problem_of(both)
    assert (problem.got, problem.fix) == ("train, val", f"name one of them: source: {both / 'val'}")
    shutil.rmtree(both / "train")
    assert problem_of(both).got == "val"
    (both / "val").rename(both / "photographs")
    (note,) = find_pictures(both).notes
    assert note == "there is one class folder only, 'photographs', so every label is 0"


def test_names_that_are_no_text_can_be_told(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder / "bee") + b"/\xff.png")).write_bytes(b"")
    (note,) = find_pictures(folder).notes
    assert note == "1 file (bee/\ufffd.png) is no picture, and was left out"
