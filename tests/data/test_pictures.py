"""One picture as pixels: every mode that a file can have keeps a gradient, or is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mlopt.core.errors import DataError
from mlopt.data.pictures import UnreadableError, read_picture

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed (the extra mlopt[data])")

RAMP = np.tile(np.arange(256, dtype=np.uint8).repeat(2), (8, 1))
FILES = {
    "1": ("png", "tiff", "bmp", "pbm"),
    "L": ("png", "tiff", "bmp", "pgm", "jpg", "webp", "gif", "jp2"),
    "P": ("png", "tiff", "bmp", "gif"),
    "LA": ("png", "tiff"),
    "RGB": ("png", "tiff", "bmp", "ppm", "jpg", "webp", "jp2"),
    "RGBA": ("png", "tiff", "webp", "jp2"),
    "RGBX": ("tiff",),
    "CMYK": ("tiff", "jpg"),
    "YCbCr": ("tiff", "jpg"),
    "LAB": ("tiff",),
    "I;16": ("png", "tiff", "pgm", "jp2"),
    "I;16B": ("tiff",),
}
"""Which formats Pillow writes of each mode. La, RGBa, PA, HSV, I;16L and I;16N are never in a file."""
MADE = [(mode, suffix) for mode, suffixes in FILES.items() for suffix in suffixes]


def write(file: Path, mode: str) -> None:
    if mode.startswith("I;16"):
        order = ">" if mode.endswith("B") else "<"
        wide = (RAMP.astype(np.uint32) * 257).astype(f"{order}u2")
        made = Image.frombytes(mode, RAMP.shape[::-1], wide.tobytes())
    else:
        made = Image.fromarray(RAMP)
        made = made.convert("RGB").convert(mode) if mode not in {"1", "L", "LA", "P"} else made.convert(mode)
    lossless = {"webp": {"lossless": True}, "jpg": {"quality": 100}}
    made.save(file, **lossless.get(file.suffix[1:], {}))


@pytest.mark.parametrize(("mode", "suffix"), MADE)
@pytest.mark.parametrize("color", ["L", "RGB"])
def test_a_gradient_survives(mode: str, suffix: str, color: str, tmp_path: Path) -> None:
    write(tmp_path / f"x.{suffix}", mode)
    pixels = np.asarray(read_picture(tmp_path / f"x.{suffix}", color).pixels)  # type: ignore[arg-type]
    channels = np.atleast_3d(pixels).astype(float)
    if mode == "1":  # dithered: the share of white grows
        channels = channels.reshape(8, 16, 32, -1).mean(axis=(0, 2))[None]
        expected = RAMP.reshape(8, 16, 32).mean(axis=(0, 2))
    else:
        expected = RAMP[0].astype(float)
    assert np.abs(channels - expected[None, :, None]).max() <= (40 if mode == "1" else 8)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    bits=st.sampled_from([1, 2, 4, 8, 10, 12, 16]), suffix=st.sampled_from(["pgm", "png", "tiff"]),
    level=st.integers(0, 65535),
)  # fmt: skip
@example(bits=16, suffix="png", level=65535)
def test_the_whole_range_of_grey_becomes_that_of_8_bits(bits: int, suffix: str, level: int, tmp_path: Path) -> None:
    white = (1 << bits) - 1 if suffix == "pgm" else 65535
    value = round(level / 65535 * white)
    file = tmp_path / f"x.{suffix}"
    if suffix == "pgm":
        one = value.to_bytes(2 if white > 255 else 1, "big")
        file.write_bytes(b"P5 2 2 %d\n" % white + 4 * one)
    else:
        Image.fromarray(np.full((2, 2), value, np.uint16)).save(file)
    pixels = np.asarray(read_picture(file, "RGB").pixels)
    assert np.abs(pixels - 255 * value / white).max() <= 1


def test_tiff_says_itself_what_is_white(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 30000, 65535]], np.uint16)).save(tmp_path / "x.tiff", tiffinfo={262: 0})
    pixels = np.asarray(read_picture(tmp_path / "x.tiff", "L").pixels)
    np.testing.assert_allclose(pixels, [[255, 255 * 35535 / 65535, 0]], atol=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_what_says_nothing_of_white_is_refused(dtype: str, tmp_path: Path) -> None:
    Image.fromarray(np.linspace(0, 500, 16).reshape(4, 4).astype(dtype)).save(tmp_path / "x.tiff")
    with pytest.raises(DataError, match="nothing says what white is"):
        read_picture(tmp_path / "x.tiff", "RGB")


def test_what_is_lost_is_told(tmp_path: Path) -> None:
    red, clear = Image.new("RGBA", (2, 2), (255, 0, 0, 255)), Image.new("RGBA", (2, 2), (255, 0, 0, 9))
    red.save(tmp_path / "opaque.png")
    clear.save(tmp_path / "clear.png")
    clear.convert("LA").save(tmp_path / "grey.png")
    Image.new("P", (2, 2)).save(tmp_path / "palette.png", transparency=0)
    red.convert("RGB").save(tmp_path / "two.gif", save_all=True, append_images=[Image.new("RGB", (2, 2), "blue")])
    Image.fromarray(np.zeros((2, 2), np.uint16)).save(tmp_path / "deep.png")
    found = {file.stem: read_picture(file, "RGB") for file in tmp_path.iterdir()}
    assert {name: set(picture.losses) for name, picture in found.items()} == {
        "opaque": set(), "clear": {"alpha"}, "grey": {"alpha"}, "palette": {"alpha"}, "two": {"frames"},
        "deep": {"bits"},
    }  # fmt: skip
    assert found["clear"].pixels.getpixel((0, 0)) == (255, 0, 0)  # as convert("RGB") leaves it
    assert found["two"].pixels.getpixel((0, 0)) == (255, 0, 0)


def test_pictures_are_turned_upright(tmp_path: Path) -> None:
    wide = Image.fromarray(np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    wide.save(tmp_path / "x.png", exif=exif)
    assert read_picture(tmp_path / "x.png", "L").pixels.size == (1, 2)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), suffix=st.sampled_from(["png", "gif", "bmp", "tiff", "jpg", "webp", "pgm", "jp2"]))
def test_no_bytes_escape_as_anything_else(data: st.DataObject, suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"x.{suffix}"
    Image.fromarray(RAMP[:, :16]).save(file)
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        read_picture(file, "RGB")
    except (UnreadableError, DataError):
        return
