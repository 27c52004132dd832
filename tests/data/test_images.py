"""Image folders: order, classes, geometry, normalisation, and broken files."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from mlopt.core.errors import DataError, MissingPackage, Problem
from mlopt.core.packages import install_command
from mlopt.data.reading import read
from mlopt.data.source import DataSource, ImageOptions
from mlopt.formats.model import TensorSpec

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed (the extra mlopt[data])")

SPEC = (TensorSpec("image", "float32", ("batch", 3, 4, 4)),)


def picture(path: Path, color: tuple[int, int, int], size: tuple[int, int] = (4, 4)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)


def problem_of(folder: Path, *, labels: str | None = None, specs: tuple[TensorSpec, ...] = SPEC) -> Problem:
    with pytest.raises(DataError) as caught:
        read(DataSource(source="images", labels=labels), folder, specs)
    return caught.value.problems[0]


def test_subfolders_are_classes_that_take_turns(tmp_path: Path) -> None:
    picture(tmp_path / "images/dog/1.png", (255, 0, 0))
    picture(tmp_path / "images/cat/b/2.PNG", (0, 255, 0))
    picture(tmp_path / "images/cat/1.jpg", (0, 0, 255))
    (tmp_path / "images/cat/notes.txt").write_text("not an image")
    samples = read(DataSource(source="images"), tmp_path, SPEC)
    assert samples.inputs["image"].shape == (3, 3, 4, 4)
    assert samples.labels is not None
    assert samples.labels.tolist() == [0, 1, 0]  # so that either half has both
    np.testing.assert_allclose(samples.inputs["image"][1, :, 0, 0], [1, 0, 0])


def test_a_flat_folder_has_no_labels_and_windows_apply(tmp_path: Path) -> None:
    for level in range(4):
        picture(tmp_path / f"images/{level}.png", (level, level, level))
    samples = read(DataSource(source="images", split=(0.5, 1.0), limit=1, in_order=True), tmp_path, SPEC)
    assert samples.labels is None
    np.testing.assert_allclose(samples.inputs["image"][:, 0, 0, 0] * 255, [2], rtol=1e-6)


def test_csv_labels_keep_the_order_of_the_file(tmp_path: Path) -> None:
    for name in "ab":
        picture(tmp_path / f"images/{name}.png", (ord(name), 0, 0))
    (tmp_path / "labels.csv").write_text("filename,label\nb.png,7\na.png,-1\n")
    samples = read(DataSource(source="images", labels="labels.csv"), tmp_path, SPEC)
    assert samples.labels is not None
    assert samples.labels.tolist() == [7, -1]
    np.testing.assert_allclose(samples.inputs["image"][:, 0, 0, 0] * 255, [98, 97], rtol=1e-6)


def test_the_shorter_side_is_scaled_and_the_centre_cropped(tmp_path: Path) -> None:
    stripes = np.zeros((4, 8, 3), np.uint8)
    stripes[:, 2:6] = 255
    (tmp_path / "images").mkdir()
    Image.fromarray(stripes).save(tmp_path / "images/wide.png")
    samples = read(DataSource(source="images"), tmp_path, SPEC)
    np.testing.assert_array_equal(samples.inputs["image"], np.ones((1, 3, 4, 4), np.float32))
    shrunk = ImageOptions(size=(2, 2), resize=4, layout="nhwc", dtype="uint8")
    spec = (TensorSpec("image", "uint8", ("batch", 2, 2, 3)),)
    samples = read(DataSource(source="images", image=shrunk), tmp_path, spec)
    np.testing.assert_array_equal(samples.inputs["image"], np.full((1, 2, 2, 3), 255, np.uint8))


def test_colours_are_normalised_per_channel_in_their_order(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.png", (255, 51, 0))
    options = ImageOptions(color="bgr", mean=(0.0, 0.1, 0.5), std=(1.0, 0.1, 0.5))
    samples = read(DataSource(source="images", image=options), tmp_path, SPEC)
    np.testing.assert_allclose(samples.inputs["image"][0, :, 0, 0], [0.0, 1.0, 1.0], atol=1e-6)
    gray = (TensorSpec("image", "float32", (1, 1, 4, 4)),)
    samples = read(DataSource(source="images", image=ImageOptions(color="gray", scale=1.0)), tmp_path, gray)
    assert samples.inputs["image"].shape == (1, 1, 4, 4)
    assert samples.inputs["image"].max() == pytest.approx(106, abs=1)  # ITU-R 601 luma of that colour


def test_a_damaged_image_is_counted_unless_its_class_has_no_other(tmp_path: Path) -> None:
    for name in ("cat/good.png", "dog/good.png"):
        picture(tmp_path / "images" / name, (1, 2, 3))
    bad = tmp_path / "images/dog/bad.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)).save(bad)
    whole = bad.read_bytes()
    for content, said in ((b"", "no picture"), (b"GIF89a", "no picture"), (whole[: len(whole) // 2], "damaged")):
        bad.write_bytes(content)
        samples = read(DataSource(source="images"), tmp_path, SPEC)
        assert samples.labels is not None
        assert samples.labels.tolist() == [0, 1]
        assert [said in note and "bad.png" in note for note in samples.notes] == [True]
    (tmp_path / "images/dog/good.png").unlink()
    problem = problem_of(tmp_path)
    assert (problem.what, problem.where) == ("no image of the class 'dog' can be read", str(bad))
    (tmp_path / "labels.csv").write_text("filename,label\ncat/good.png,0\ndog/bad.png,0\n")
    assert problem_of(tmp_path, labels="labels.csv").what == "the image is damaged"


def test_images_that_would_fill_the_memory_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "images/big.png", (1, 2, 3), size=(64, 64))
    with monkeypatch.context() as patched:
        for pixels in (3000, 1000):  # Pillow warns above the limit, and raises above twice the limit
            patched.setattr(Image, "MAX_IMAGE_PIXELS", pixels)
            assert problem_of(tmp_path).what == "the image is so large that it looks like a decompression bomb"
    picture(tmp_path / "images/big.png", (1, 2, 3), size=(20_000, 1))
    wide = (TensorSpec("image", "float32", ("batch", 3, 224, 224)),)
    assert problem_of(tmp_path, specs=wide).what == "the image is too narrow to be scaled"


def test_folders_that_are_wrong(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    assert problem_of(tmp_path).what == "there are no images in this folder"
    picture(tmp_path / "images/cat/1.png", (0, 0, 0))
    picture(tmp_path / "images/stray.png", (0, 0, 0))
    assert problem_of(tmp_path).where == str(tmp_path / "images/stray.png")
    (tmp_path / "images/stray.png").unlink()
    assert problem_of(tmp_path, labels="absent.csv").what == "the file with the labels does not exist"
    open_size = (TensorSpec("image", "float32", ("batch", 3, "height", "width")),)
    assert (
        problem_of(tmp_path, specs=open_size).fix
        == "set it in the recipe, beside `source`: `image: {size: [HEIGHT, WIDTH]}`"
    )
    assert "exactly one input" in problem_of(tmp_path, specs=(*SPEC, *SPEC)).what


def test_without_pillow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "images/a.png", (0, 0, 0))
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(MissingPackage, match=re.escape(install_command("data"))):
        read(DataSource(source="images"), tmp_path, SPEC)
