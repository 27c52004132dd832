"""A folder of images as one array, scaled and normalised as the model was trained.

Classes are either the subfolders, numbered in the order of their names, or come from a CSV file. The files are read in
the order of their paths, so that splits and limits mean the same everywhere.
"""

from __future__ import annotations

import csv
import struct
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from mlopt.data.dataset import Array, Samples
from mlopt.data.labels import class_numbers, label_array
from mlopt.errors import DataError, MissingPackage

if TYPE_CHECKING:
    from PIL import Image

    from mlopt.model import TensorSpec

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
Window = Callable[[int, Array | None], list[int]]


class ImageOptions(BaseModel):
    """From a picture to the model's input: scale the shorter side, crop the centre, normalise, order the axes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: tuple[int, int] | None = Field(
        default=None, description="height and width that the model gets; its own fixed input size if absent"
    )
    resize: int | None = Field(
        default=None, ge=1, description="pixels of the shorter side before the centre is cropped; just enough if absent"
    )
    color: Literal["rgb", "bgr", "gray"] = Field(default="rgb", description="channels and their order")
    scale: float = Field(default=1 / 255, gt=0, description="what 0..255 is multiplied by, before mean and std")
    mean: tuple[float, ...] = Field(default=(0.0,), description="subtracted; one value, or one per channel")
    std: tuple[float, ...] = Field(default=(1.0,), description="divided by; one value, or one per channel")
    layout: Literal["nchw", "nhwc"] = Field(default="nchw", description="the order of the axes")
    dtype: Literal["float32", "uint8"] = Field(
        default="float32", description="uint8 leaves the pixels as they are: no scale, mean or std"
    )

    @model_validator(mode="after")
    def _per_channel(self) -> Self:
        channels = 1 if self.color == "gray" else 3
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in {1, channels}:
                raise ValueError(f"{name} needs one value or {channels}, one per channel of {self.color}")
        if min(self.std) <= 0:
            raise ValueError("std must be above 0")
        return self


def read_images(
    folder: Path, options: ImageOptions, labels: Path | None, inputs: Sequence[TensorSpec], window: Window
) -> Samples:
    """Read the pictures that ``window`` chooses into one array, for a model with one input."""
    if len(inputs) != 1:
        raise DataError(
            "an image folder feeds models with exactly one input",
            where=str(folder),
            got=", ".join(spec.name for spec in inputs) or "no declared inputs",
            fix="declare the input in model.inputs, or give the arrays as .npz or through a Python function",
        )
    files, classes = _listed(folder, labels) if labels else _found(folder)
    height, width = _size(options, inputs[0], folder)
    chosen = window(len(files), classes)
    pictures = [_picture(file, options, height, width) for file in (files[row] for row in chosen)]
    array = np.stack(pictures) if pictures else np.empty((0, height, width))
    return Samples({inputs[0].name: array}, None if classes is None else classes[chosen])


def _found(folder: Path) -> tuple[list[Path], Array | None]:
    """The images in the subfolders, each a class; or those in the folder itself, without labels."""
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        raise DataError("there are no images in this folder", where=str(folder), expected=", ".join(sorted(SUFFIXES)))
    parents = [file.relative_to(folder).parts[:-1] for file in files]
    if not any(parents):
        return files, None
    if not all(parents):
        stray = files[parents.index(())]
        raise DataError(
            "an image lies beside the class folders, so it has no class",
            where=str(stray),
            expected="every image in a subfolder, or none",
            fix="move it, or name the classes in a CSV file with `labels`",
        )
    order = _in_turn([parts[0] for parts in parents])
    return [files[index] for index in order], class_numbers([parents[index][0] for index in order])


def _in_turn(classes: list[str]) -> list[int]:
    """Return the positions with the classes taking turns, so that a part of them, such as the first half, has all."""
    rank = dict.fromkeys(classes, 0)
    turns = []
    for index, name in enumerate(classes):
        turns.append((rank[name], name, index))
        rank[name] += 1
    return [index for *_, index in sorted(turns)]


def _listed(folder: Path, labels: Path) -> tuple[list[Path], Array]:
    """The images that a CSV file names, in its order, with their labels."""
    if not labels.is_file():
        raise DataError("the file with the labels does not exist", where=str(labels), fix="check `labels`")
    try:
        with labels.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError("this is not a CSV file in UTF-8", where=str(labels), got=str(error)) from error
    files, values = [], []
    for number, row in enumerate(rows, start=2):
        name, label = row.get("filename"), row.get("label")
        if not name or not label:
            raise DataError("a row lacks a value", where=f"{labels}:{number}", expected="columns filename and label")
        file = folder / name
        if ".." in Path(name).parts or not file.resolve().is_relative_to(folder.resolve()):
            raise DataError("the path leaves the image folder", where=f"{labels}:{number}", got=name)
        files.append(file)
        values.append(label)
    if not files:
        raise DataError("the file names no images", where=str(labels), expected="rows of filename,label")
    return files, label_array(values, str(labels))


def _size(options: ImageOptions, spec: TensorSpec, folder: Path) -> tuple[int, int]:
    if options.size:
        return options.size
    shape = spec.shape if len(spec.shape) == 3 else spec.shape[1:]
    sides = (shape[1:] if options.layout == "nchw" else shape[:2]) if len(shape) == 3 else ()
    match sides:
        case (int(height), int(width)):
            return height, width
    raise DataError(
        "the model leaves the size of its images open", where=str(folder), got=str(spec), fix="set image.size"
    )


def _picture(file: Path, options: ImageOptions, height: int, width: int) -> Array:
    channels = _normalised(np.asarray(_opened(file, options, height, width)), options)
    return np.ascontiguousarray(channels.transpose(2, 0, 1)) if options.layout == "nchw" else channels


def _normalised(pixels: Array, options: ImageOptions) -> Array:
    """Pixels of shape [height, width(, 3)], 0..255, to [height, width, channels]."""
    channels = np.atleast_3d(pixels)
    if options.color == "bgr":
        channels = channels[:, :, ::-1]
    if options.dtype == "uint8":
        return channels
    mean, std = np.asarray(options.mean, np.float32), np.asarray(options.std, np.float32)
    normalised: Array = (channels.astype(np.float32) * np.float32(options.scale) - mean) / std
    return normalised


def _opened(file: Path, options: ImageOptions, height: int, width: int) -> Image.Image:
    """Decode one file, upright and in the wanted colours, scaled until it covers the crop, and crop its centre."""
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise MissingPackage("images need Pillow", where=str(file), fix='pip install "mlopt[data]"') from error
    broken = (OSError, SyntaxError, ValueError, EOFError, struct.error)
    bombs = (Image.DecompressionBombError, Image.DecompressionBombWarning)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file) as opened:
                picture = ImageOps.exif_transpose(opened).convert("L" if options.color == "gray" else "RGB")
    except FileNotFoundError as error:
        raise DataError("the image does not exist", where=str(file)) from error
    except (*broken, *bombs) as error:
        raise DataError("the image is damaged", where=str(file), got=str(error), fix="remove or replace it") from error
    factor = max(height / picture.height, width / picture.width, (options.resize or 0) / min(picture.size))
    scaled = max(width, round(picture.width * factor)), max(height, round(picture.height * factor))
    left, top = (scaled[0] - width) // 2, (scaled[1] - height) // 2
    return picture.resize(scaled, Image.Resampling.BILINEAR).crop((left, top, left + width, top + height))
