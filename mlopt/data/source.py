"""What a recipe may say of a data set: where it is, which part of it is meant, and how files become arrays."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

SUPPORTED = "a .npz file, a folder of images, a .jsonl file with `text.tokenizer`, or ./file.py:function"


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


class TextOptions(BaseModel):
    """From a line of JSON to token ids."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokenizer: str = Field(min_length=1, description="a tokenizer.json, relative to the recipe")
    field: str = Field(default="text", description="the key that holds the text")
    pair: str | None = Field(default=None, description="the key that holds the second text, for models of text pairs")
    label: str | None = Field(default=None, description="the key that holds the label")
    max_length: int = Field(default=128, ge=1, le=1_000_000, description="tokens that are kept of a text")
    padding: Literal["fixed", "longest"] = Field(
        default="fixed", description="up to max_length, or up to the longest of the chosen texts"
    )
    pad_token: str | None = Field(
        default=None, min_length=1, description="the token to pad with, if the tokenizer's file names none"
    )
    pad_id: int | None = Field(default=None, ge=0, description="its number, instead of pad_token")
    padding_side: Literal["left", "right"] | None = Field(
        default=None, description="the end that is padded; as the tokenizer's file says, else right"
    )

    @model_validator(mode="after")
    def _one_token(self) -> Self:
        if self.pad_token is not None and self.pad_id is not None:
            raise ValueError("give pad_token or pad_id, not both")
        return self


class DataSource(BaseModel):
    """One data set. ``split`` is applied before ``limit``; see ``mlopt.data.choice`` for what they choose."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(min_length=1, description=f"{SUPPORTED}; relative to the recipe")
    limit: int | None = Field(default=None, ge=1, description="at most so many samples, chosen to be like the whole")
    split: tuple[float, float] | None = Field(
        default=None, description="a part of the samples: [0.0, 0.5] is one half, [0.5, 1.0] the other"
    )
    in_order: bool = Field(
        default=False,
        description="split and limit by position, for samples in the order of time; else each class is in its share",
    )
    labels: str | None = Field(
        default=None,
        description="for .npz the name of the array with the labels ('labels' if absent); for an image folder a CSV "
        "file with the columns filename and label (if absent, each subfolder is a class)",
    )
    classes: tuple[str, ...] = Field(
        default=(), description="names of the model's classes in the order of their numbers, where labels are names "
        "or class folders; if absent, they are numbered in the order of the names"
    )  # fmt: skip
    image: ImageOptions = Field(default=ImageOptions(), description="how the images of a folder become an array")
    text: TextOptions | None = Field(default=None, description="how the lines of a .jsonl file become token ids")

    @field_validator("classes")
    @classmethod
    def _each_once(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(classes)) < len(classes):
            raise ValueError("classes must name each class once")
        return classes

    @field_validator("split")
    @classmethod
    def _ordered(cls, split: tuple[float, float] | None) -> tuple[float, float] | None:
        if split is not None and not 0.0 <= split[0] < split[1] <= 1.0:
            raise ValueError("split must be [from, to] with 0.0 <= from < to <= 1.0")
        return split

    @property
    def names_labels(self) -> bool:
        """Whether it says where the labels are."""
        return self.labels is not None or (self.text is not None and self.text.label is not None)

    def labelled_like(self, other: DataSource) -> DataSource:
        """Return this source with the labels of another part of it, unless it names its own."""
        if self.names_labels:
            return self
        text = self.text and other.text and self.text.model_copy(update={"label": other.text.label})
        classes = self.classes or other.classes
        return self.model_copy(update={"labels": other.labels, "text": text or self.text, "classes": classes})
