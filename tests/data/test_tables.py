"""CSV files with labels: encodings, delimiters and headers of all kinds, and what no reading makes sense of."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopt.core.errors import DataError
from mlopt.data.tables import read_labels

NAMES = ("a.png", "b c.png", "d/e.png", "f,g;h.png", "ü.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).touch()
    return tmp_path / "images"


def labels_of(content: bytes | str, folder: Path) -> tuple[list[str], list[float]]:
    file = folder.parent / "labels.csv"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    found = read_labels(file, folder)
    assert found.labels is not None
    return [str(path.relative_to(folder)) for path in found.files], found.labels.tolist()


@pytest.mark.parametrize(
    "content",
    [
        "filename,label\na.png,7\nd/e.png,-1\n",
        "\ufefffilename,label\na.png,7\nd/e.png,-1\n",
        "filename,label\na.png,7\nd/e.png,-1\n".encode("utf-16"),
        "filename;label\r\na.png;7\r\nd/e.png;-1\r\n",
        "sep=;\r\nfilename;label\r\na.png;7\r\nd/e.png;-1",
        "filename\tlabel\na.png\t7\n\n\nd/e.png\t-1\n",
        "File Name, Class ID\na.png, 7\nd/e.png , -1\n",
        'image_path,height,target\n"a.png",8,"7"\nd\\e.png,9,-1\n',
        ",label,path,class\n0,7,a.png,x\n1,-1,d/e.png,y\n",
        "a.png,7\nd/e.png,-1\n",
        "7;a.png\n-1;d/e.png\n",
        "a.png 7\nd/e.png -1\n",
    ],
)
def test_one_reading_is_found(content: bytes | str, folder: Path) -> None:
    assert labels_of(content, folder) == (["a.png", "d/e.png"], [7, -1])


@given(
    rows=st.lists(
        st.tuples(st.sampled_from(NAMES), st.integers(-9, 99)), min_size=1, max_size=6, unique_by=lambda row: row[0]
    ),
    delimiter=st.sampled_from(",;\t|"),
    header=st.sampled_from([("filename", "label"), ("FILE", "Class"), ("img_name", "y")]),
    turned=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    ending=st.sampled_from(["\n", "\r\n"]),
)
def test_what_a_tool_writes_is_read(
    rows: list[tuple[str, int]], delimiter: str, header: tuple[str, str], turned: bool, encoding: str, ending: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    import csv
    import io

    base = tmp_path_factory.mktemp("table")
    for name, _ in rows:
        (base / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (base / "images" / name).touch()
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=delimiter, lineterminator=ending)
    writer.writerows([row[::-1] if turned else row for row in [header, *rows]])
    found = labels_of(stream.getvalue().encode(encoding), base / "images")
    assert found == ([name for name, _ in rows], [label for _, label in rows])


@pytest.mark.parametrize("again", ["a.png,8", "./a.png,8", "images/../a.png,8", "a.png , cat"])
def test_an_image_has_one_label(again: str, folder: Path) -> None:
    with pytest.raises(DataError) as caught:
        labels_of(f"filename,label\nd/e.png,9\na.png,7\n\n{again}\n", folder)
    (problem,) = caught.value.problems
    if ".." in again:
        assert problem.what == "the path leaves the image folder"
    elif "cat" in again:
        assert (problem.what, problem.where) == (
            "labels are partly numbers and partly names", f"{folder.parent}/labels.csv:5",
        )  # fmt: skip
    else:
        assert (problem.what, problem.where) == ("one image has two labels", f"{folder.parent}/labels.csv:5")
        assert problem.got == "a.png is '8' here, and '7' in line 3"


def test_an_image_that_is_named_again_counts_again_and_is_told(folder: Path) -> None:
    file = folder.parent / "labels.csv"
    file.write_text("filename,label\na.png,7\nd/e.png,7\na.png,7.0\n./a.png,7\n")
    found = read_labels(file, folder)
    assert len(found.files) == 4
    assert found.notes == ("labels.csv: 2 rows name images once more, which then counts as often: line 4 is the first",)


def test_an_encoding_that_was_guessed_is_told(folder: Path) -> None:
    (folder.parent / "labels.csv").write_bytes("filename,label\nü.png,1\n".encode("latin-1"))
    found = read_labels(folder.parent / "labels.csv", folder)
    assert [file.name for file in found.files] == ["ü.png"]
    assert found.notes == ("labels.csv is not in UTF-8, and was read as Windows-1252",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("filename,label\nabsent.png,1\n", "the image does not exist"),
        ("filename,label\n../secret.png,1\n", "the path leaves the image folder"),
        ("filename,label\n..\\secret.png,1\n", "the path leaves the image folder"),
        ("filename,label\n/etc/passwd,1\n", "the path leaves the image folder"),
        ("filename,label\na\0.png,1\n", "the image does not exist"),
        ("filename,label\n" + 999 * "a" + ",1\n", "the image does not exist"),
        ("filename,label\n", "the file names no images"),
        ("filename,label\na.png\n", "a row lacks a value"),
        ("filename,label\na.png, \n", "a row lacks a value"),
        ("filename,label\na.png,1\na.png,cat\n", "labels are partly numbers and partly names"),
        ("filename;label\na.png;0,5\n", "a label is a number with a decimal comma"),
        ("", "the file has no columns that name the images and their labels"),
        ("id,score\n1,2\n", "the file has no columns that name the images and their labels"),
        ("a.png,1,2\n", "the file has no columns that name the images and their labels"),
        ("file,path,label\na.png,a.png,1\n", "several columns may be the filename"),
        ("filename,class,category\na.png,1,2\n", "several columns may be the label"),
        ("filename,label\na.png,1\n".encode("utf-16")[:-1], "this is not a CSV file in UTF-8"),
        ('filename,label\n"' + 200_000 * "a", "this is not a CSV file"),
    ],
)
def test_what_makes_no_sense_is_one_error(content: bytes | str, message: str, folder: Path) -> None:
    with pytest.raises(DataError) as caught:
        labels_of(content, folder)
    assert caught.value.problems[0].what == message


def test_a_wrong_header_is_shown_beside_the_right_one(folder: Path) -> None:
    with pytest.raises(DataError) as caught:
        labels_of("id;score;split\n1;2;val\n", folder)
    problem = caught.value.problems[0]
    assert (problem.where, problem.got) == (f"{folder.parent}/labels.csv:1", "id | score | split")
    assert problem.expected == "a line `filename,label`, then one such row for each image"


@given(content=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_bytes_escape_as_anything_but_a_data_error(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    base = tmp_path_factory.mktemp("table")
    (base / "labels.csv").write_bytes(content)
    with pytest.raises(DataError):
        read_labels(base / "labels.csv", base / "images")
