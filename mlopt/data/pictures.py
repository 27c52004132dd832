"""One picture file as upright pixels from 0 to 255: what the file is, Pillow says, not its suffix.

Only formats that are pictures and nothing else are tried: no PDF, PostScript or other documents. Colours are converted
as torchvision's loader does (``convert("RGB")``): alpha is dropped, a palette looked up. Pillow clips what has more
than 8 bits of grey at 255, so such pictures are scaled here where the file says what white is, and refused otherwise.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlopt.core.errors import DataError, MissingPackage
from mlopt.core.packages import install_command

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""Pillow's names of what is read. PPM includes PGM and PBM."""
_BY_WAY_OF = {"La": "LA", "RGBa": "RGBA", "LAB": "RGB"}
"""Modes that Pillow does not convert to every other in one step."""
_WITH_ALPHA = frozenset({"L", "LA", "P", "PA", "RGB", "RGBA"})
_BITS, _MEANING, _WHITE_IS_ZERO = 258, 262, 0
"""Of TIFF: the tags BitsPerSample and PhotometricInterpretation, and a value of the latter."""


class UnreadableError(Exception):
    """This is no picture, or a damaged one; the message says why."""


@dataclass(frozen=True)
class Picture:
    """Pixels of 0 to 255, in the mode RGB, L, or (greys of more than 8 bits) F, and what was lost on the way."""

    pixels: Image.Image
    losses: frozenset[str]


def why_no_picture(file: Path) -> str | None:
    """Return why ``file`` is no picture, by its head alone; None if it is one. Raises ``DataError`` for a bomb."""
    if not file.is_file():  # opening a pipe would wait for ever
        return "it is no regular file" if file.exists() else "the link leads nowhere"
    try:
        with _opened(file):
            return None
    except UnreadableError as error:
        return str(error)


def read_picture(file: Path, color: Literal["RGB", "L"]) -> Picture:
    """Decode one file, upright and in the wanted colours.

    Raises ``UnreadableError``, or ``DataError`` for a picture that is whole and cannot be used.
    """
    from PIL import ImageOps

    with _opened(file) as opened:
        losses = {"frames"} if opened.format in {"GIF", "PNG", "TIFF", "WEBP"} and _frames(opened) > 1 else set()
        upright = ImageOps.exif_transpose(opened)
        if upright.mode == "F" or upright.mode.startswith("I"):
            return Picture(_scaled(upright, _white(opened, file), opened), frozenset({*losses, "bits"}))
        picture = upright.convert(_BY_WAY_OF.get(upright.mode, upright.mode))
        if _is_transparent(picture):
            losses.add("alpha")
        return Picture(picture.convert(color), frozenset(losses))


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """Open a file and turn whatever Pillow raises, now or while it is used, into one of two errors."""
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingPackage("images need Pillow", where=str(file), fix=install_command("data")) from error
    bombs = (Image.DecompressionBombError, Image.DecompressionBombWarning)
    Image.init()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=[name for name in FORMATS if name in Image.OPEN]) as opened:
                yield opened
    except bombs as error:
        raise DataError(
            "the image is so large that it looks like a decompression bomb", where=str(file), got=str(error),
            expected=f"at most {Image.MAX_IMAGE_PIXELS:,} pixels", fix="make it smaller, or remove it",
        ) from error  # fmt: skip
    except DataError:
        raise
    except Image.UnidentifiedImageError as error:
        raise UnreadableError("it is none of " + ", ".join(FORMATS)) from error
    except Exception as error:  # of damaged files a decoder raises anything
        raise UnreadableError(" ".join(str(error).split()) or type(error).__name__) from error


def _frames(opened: Any) -> int:
    return int(getattr(opened, "n_frames", 1))


def _white(opened: Any, file: Path) -> int:
    """Return what white is in a picture of more than 8 bits of grey."""
    if opened.format == "TIFF" and opened.mode.startswith("I;16"):
        return int((1 << int(opened.tag_v2.get(_BITS, (16,))[0])) - 1)
    if opened.mode.startswith("I;16") or (opened.mode == "I" and opened.format in {"PNG", "PPM"}):
        return 65535  # Pillow scales a PGM's own maximum to that
    kind = "floating-point" if opened.mode == "F" else "32-bit"
    raise DataError(
        f"nothing says what white is in this {kind} image", where=str(file), got=f"mode {opened.mode}",
        expected="8 bits per channel, or 16 bits of grey",
        fix="save such images with 8 or 16 bits, or give the arrays as .npz or through a Python function",
    )  # fmt: skip


def _scaled(picture: Image.Image, white: int, opened: Any) -> Image.Image:
    from PIL import Image

    values = np.asarray(picture).astype(np.float32)
    if opened.format == "TIFF" and opened.tag_v2.get(_MEANING) == _WHITE_IS_ZERO:
        values = white - values
    return Image.fromarray(values * np.float32(255 / white))


def _is_transparent(picture: Image.Image) -> bool:
    """Whether any pixel is less than opaque."""
    if picture.mode not in _WITH_ALPHA or not picture.has_transparency_data:
        return False
    low, _high = picture.convert("RGBA").getchannel("A").getextrema()
    return isinstance(low, int) and low < 255
