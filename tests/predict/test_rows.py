"""Whatever data is given, it becomes one array on disk per input, and its digest stands for it."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mlopt.core.errors import DataError
from mlopt.formats.model import TensorSpec
from mlopt.predict.rows import RowArrays, found, mapped_rows, prepared

X = TensorSpec("x", "float32", ("batch", 2))
NONE = Path("/nonexistent/recipe.lock.yaml")
ARRAY = np.arange(8, dtype=np.float32).reshape(4, 2)


def arrays_of(path: Path, work: Path, inputs: Sequence[TensorSpec] = (X,)) -> RowArrays:
    return prepared(found(path, inputs, NONE), inputs, work)


def npz(folder: Path, **arrays: np.ndarray) -> Path:
    np.savez(folder / "rows.npz", **arrays)
    return folder / "rows.npz"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_is_unpacked_without_its_labels(tmp_path: Path, save: object) -> None:
    save(tmp_path / "rows.npz", x=ARRAY, labels=np.arange(4))  # type: ignore[operator]
    rows = arrays_of(tmp_path / "rows.npz", tmp_path / "work")
    assert (rows.count, rows.row_bytes, list(rows.files)) == (4, 8, ["x"])
    assert mapped_rows(rows.files["x"]).tolist() == ARRAY.tolist()


def test_arrays_in_a_folder_and_a_single_one_are_mapped_where_they_lie(tmp_path: Path) -> None:
    (tmp_path / "arrays").mkdir()
    np.save(tmp_path / "arrays/x.npy", ARRAY)
    for path in (tmp_path / "arrays", tmp_path / "arrays/x.npy"):
        rows = arrays_of(path, tmp_path / f"work of {path.name}")
        assert rows.files == {"x": tmp_path / "arrays/x.npy"}
        assert isinstance(mapped_rows(rows.files["x"]), np.memmap)


def test_the_digest_is_over_names_and_content(tmp_path: Path) -> None:
    (tmp_path / "arrays").mkdir()
    np.save(tmp_path / "arrays/x.npy", ARRAY)
    one = found(tmp_path / "arrays", (X,), NONE)
    assert found(tmp_path / "arrays", (X,), NONE).digest == one.digest
    assert one.is_as_found
    os.utime(tmp_path / "arrays/x.npy", (1, 1))
    assert not one.is_as_found
    (tmp_path / "arrays/x.npy").rename(tmp_path / "arrays/y.npy")
    assert found(tmp_path / "arrays", (X,), NONE).digest != one.digest


def test_names_and_shapes_are_looked_at_and_values_are_not(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="did you mean 'x'"):
        arrays_of(npz(tmp_path, z=ARRAY), tmp_path / "1")
    with pytest.raises(DataError, match="the shape does not fit the model"):
        arrays_of(npz(tmp_path, x=ARRAY.reshape(2, 4)), tmp_path / "2")
    with pytest.raises(DataError, match="the dtype does not fit the model"):
        arrays_of(npz(tmp_path, x=ARRAY.astype(np.int64)), tmp_path / "3")
    assert arrays_of(npz(tmp_path, x=np.full((3, 2), 1e300)), tmp_path / "4").count == 3


def test_inputs_of_different_lengths_are_refused(tmp_path: Path) -> None:
    inputs = (X, TensorSpec("z", "float32", ("batch", 2)))
    with pytest.raises(DataError, match="different numbers of samples"):
        arrays_of(npz(tmp_path, x=ARRAY, z=ARRAY[:3]), tmp_path / "work", inputs)


def test_no_rows_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there are no rows"):
        arrays_of(npz(tmp_path, x=ARRAY[:0]), tmp_path / "work")


def test_what_is_no_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.npz").write_bytes(b"PK nonsense")
    (tmp_path / "rows.csv").write_text("1,2\n")
    np.save(tmp_path / "objects.npy", np.array([{}, {}]))
    whole = npz(tmp_path / "..", x=ARRAY).read_bytes()
    (tmp_path / "torn.npz").write_bytes(whole.replace(ARRAY.tobytes(), bytes(ARRAY.nbytes)))
    for name, message in (
        ("rows.npz", "not a whole .npz file"),
        ("torn.npz", "not a whole .npz file"),
        ("rows.csv", "no data of this kind"),
        ("objects.npy", "no array of numbers or text"),
        ("none.npz", "does not exist"),
    ):
        with pytest.raises(DataError, match=message):
            arrays_of(tmp_path / name, tmp_path / f"work of {name}")


def test_a_member_that_is_no_array_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "rows.npz", "w") as archive:
        archive.writestr("x.npy", "hello")
    with pytest.raises(DataError, match="no array of numbers or text"):
        arrays_of(tmp_path / "rows.npz", tmp_path / "work")


def test_pictures_are_rows_by_name_and_one_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    images = pytest.importorskip("PIL.Image")
    (tmp_path / "pictures").mkdir()
    for value in (0, 255):
        images.fromarray(np.full((4, 4), value, np.uint8)).save(tmp_path / f"pictures/{value}.png")
    (tmp_path / "pictures/readme.txt").write_text("hello")
    inputs = (TensorSpec("image", "float32", ("batch", 1, 4, 4)),)
    rows = arrays_of(tmp_path / "pictures", tmp_path / "work", inputs)
    assert (rows.count, rows.names) == (2, ("0.png", "255.png"))
    assert mapped_rows(rows.files["image"])[:, 0, 0, 0].tolist() == [0.0, 1.0]
    assert rows.notes[0].startswith("1 file (readme.txt) is no picture, and was left out")
    images.fromarray(np.random.default_rng(0).integers(0, 255, (60, 60), np.uint8)).save(tmp_path / "noise.png")
    (tmp_path / "pictures/1.png").write_bytes((tmp_path / "noise.png").read_bytes()[:-1000])
    with pytest.raises(DataError, match="cannot be read"):
        arrays_of(tmp_path / "pictures", tmp_path / "again", inputs)


def test_pictures_are_read_as_the_artifact_was_judged(tmp_path: Path) -> None:
    images = pytest.importorskip("PIL.Image")
    (tmp_path / "pictures").mkdir()
    images.fromarray(np.full((4, 4), 255, np.uint8)).save(tmp_path / "pictures/0.png")
    lock = tmp_path / "recipe.lock.yaml"
    lock.write_text("data: {evaluation: {source: ./pictures, image: {size: null, color: gray, mean: [0.5]}}}\n")
    inputs = (TensorSpec("image", "float32", ("batch", 1, 4, 4)),)
    data = found(tmp_path / "pictures", inputs, lock)
    assert data.reading == {"image": {"color": "gray", "mean": [0.5]}}
    rows = prepared(data, inputs, tmp_path / "work")
    assert mapped_rows(rows.files["image"]).max() == 0.5


def test_texts_are_tokenized_by_the_tokenizer_beside_them(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    words = {"[UNK]": 0, "[PAD]": 1, "a": 2, "b": 3}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    lines = [{"text": text} for text in ("a b", "b", "c a a")]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    inputs = (TensorSpec("input_ids", "int64", ("batch", "length")),)
    data = found(tmp_path / "texts.jsonl", inputs, NONE)
    assert len(str(data.reading["tokenizer"])) == 64
    rows = prepared(data, inputs, tmp_path / "work")
    assert mapped_rows(rows.files["input_ids"]).tolist() == [[2, 3, 1], [3, 1, 1], [0, 2, 2]]
