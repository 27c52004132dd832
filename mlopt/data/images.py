"""A folder of images as one array, scaled and normalised as the model was trained.

Classes are either the subfolders, numbered in the order of their names, or come from a CSV file. The files are read in
the order of their paths, so that splits and limits mean the same everywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlopt.core.errors import DataError
from mlopt.data.dataset import Array, Samples
from mlopt.data.folders import PictureFolder, find_pictures, shown
from mlopt.data.pictures import UnreadableError, read_picture
from mlopt.data.source import ImageOptions
from mlopt.data.tables import read_labels

if TYPE_CHECKING:
    from PIL import Image

    from mlopt.formats.model import TensorSpec

Window = Callable[[int, Array | None], list[int]]
_LARGEST = 1 << 27
"""Pixels that one picture may have while it is scaled."""
_LOSSES = {
    "alpha": "partly transparent: alpha was dropped, as torchvision's loader does",
    "bits": "of more than 8 bits of grey: the whole range was scaled to that of 8 bits",
    "frames": "of several frames: the first was taken",
}


def read_images(
    folder: Path, options: ImageOptions, labels: Path | None, inputs: Sequence[TensorSpec], window: Window,
    classes: Sequence[str] = (),
) -> Samples:  # fmt: skip
    """Read the pictures that ``window`` chooses into one array, for a model with one input."""
    if len(inputs) != 1:
        raise DataError(
            "an image folder feeds models with exactly one input",
            where=str(folder),
            got=", ".join(spec.name for spec in inputs) or "no declared inputs",
            fix="declare the input in model.inputs, or give the arrays as .npz or through a Python function",
        )
    height, width = _size(options, inputs[0], folder)
    found = read_labels(labels, folder, classes) if labels else find_pictures(folder, classes)
    rows = window(len(found.files), found.labels)
    read, unreadable = _read([found.files[row] for row in rows], options, height, width)
    if unreadable:
        _check_unreadable(found, rows, unreadable, listed=labels is not None)
    kept = [row for row in rows if found.files[row] in read]
    array = np.stack([read[found.files[row]].array for row in kept]) if kept else np.empty((0, height, width))
    notes = (*found.notes, *_remarks([read[found.files[row]] for row in kept], unreadable))
    return Samples({inputs[0].name: array}, None if found.labels is None else found.labels[kept], notes)


@dataclass(frozen=True)
class _Fitted:
    """A picture as the model gets it, and what was lost on the way."""

    array: Array
    losses: frozenset[str]


def _read(
    files: Sequence[Path], options: ImageOptions, height: int, width: int
) -> tuple[dict[Path, _Fitted], dict[Path, str]]:
    """Return the pictures by file, and of the others why they cannot be read."""
    read, unreadable = {}, {}
    for file in dict.fromkeys(files):
        try:
            picture = read_picture(file, "L" if options.color == "gray" else "RGB")
        except UnreadableError as error:
            unreadable[file] = str(error)
        else:
            pixels = _channels(_covering(picture.pixels, file, options, height, width), options)
            array = np.ascontiguousarray(pixels.transpose(2, 0, 1)) if options.layout == "nchw" else pixels
            read[file] = _Fitted(array, picture.losses)
    return read, unreadable


def _check_unreadable(
    found: PictureFolder, rows: Sequence[int], unreadable: Mapping[Path, str], *, listed: bool
) -> None:
    """Raise ``DataError`` where leaving out what cannot be read would leave out a class, or what a list names."""
    labels = [0] * len(found.files) if found.labels is None else found.labels.tolist()
    left = {labels[row] for row in rows if found.files[row] not in unreadable}
    for row in rows:
        file = found.files[row]
        if file not in unreadable or (labels[row] in left and not listed):
            continue
        raise DataError(
            "the image is damaged" if labels[row] in left or not found.classes else
            f"no image of the class '{shown(found.classes[labels[row]])}' can be read",
            where=shown(file), got=unreadable[file], fix="remove or replace it",
        )  # fmt: skip


def _remarks(read: Sequence[_Fitted], unreadable: Mapping[Path, str]) -> Iterator[str]:
    """Yield what was left out, and what was lost of the rest."""
    if unreadable:
        file, reason = next(iter(unreadable.items()))
        yield f"{_images(len(unreadable))} damaged and left out, such as {shown(file.name)}: {reason}"
    counts = Counter(loss for each in read for loss in each.losses)
    for loss, said in _LOSSES.items():
        if counts[loss]:
            yield f"{_images(counts[loss])} {said}"


def _images(count: int) -> str:
    return "1 image is" if count == 1 else f"{count} images are"


def _size(options: ImageOptions, spec: TensorSpec, folder: Path) -> tuple[int, int]:
    if options.size:
        return options.size
    shape = spec.shape if len(spec.shape) == 3 else spec.shape[1:]
    sides = (shape[1:] if options.layout == "nchw" else shape[:2]) if len(shape) == 3 else ()
    match sides:
        case (int(height), int(width)):
            return height, width
    raise DataError(
        "the model leaves the size of its images open",
        where=str(folder),
        got=str(spec),
        fix="set it in the recipe, beside `source`: `image: {size: [HEIGHT, WIDTH]}`",
    )


def _channels(picture: Image.Image, options: ImageOptions) -> Array:
    """Return pixels of 0 to 255 as the model's numbers, [height, width, channels]."""
    pixels = np.atleast_3d(np.asarray(picture))
    if options.color != "gray" and pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    if options.color == "bgr":
        pixels = pixels[:, :, ::-1]
    if options.dtype == "uint8":
        whole: Array = np.rint(pixels).astype(np.uint8)
        return whole
    mean, std = np.asarray(options.mean, np.float32), np.asarray(options.std, np.float32)
    normalised: Array = (pixels.astype(np.float32) * np.float32(options.scale) - mean) / std
    return normalised


def _covering(picture: Image.Image, file: Path, options: ImageOptions, height: int, width: int) -> Image.Image:
    """Scale a picture until it covers the crop, and crop its centre."""
    from PIL import Image

    factor = max(height / picture.height, width / picture.width, (options.resize or 0) / min(picture.size))
    scaled = max(width, round(picture.width * factor)), max(height, round(picture.height * factor))
    if scaled[0] * scaled[1] > _LARGEST:
        raise DataError(
            "the image is too narrow to be scaled", where=shown(file),
            got=f"{picture.width} x {picture.height}, which would become {scaled[0]:,} x {scaled[1]:,}",
            expected=f"at most {_LARGEST:,} pixels before the centre is cropped", fix="crop the image, or remove it",
        )  # fmt: skip
    left, top = (scaled[0] - width) // 2, (scaled[1] - height) // 2
    return picture.resize(scaled, Image.Resampling.BILINEAR).crop((left, top, left + width, top + height))
