"""The file of sketches, schema ``mlopt.sketches/v1``: one JSON document of bounded size, as it may come from anybody.

Numbers are sketched by KLL, how many values differ by HyperLogLog: base64 of the library's own bytes, each checked
here. What the library would drop in silence is counted beside: rows with NaN, infinities, and values out of range.
"""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator

from mlopt.core.errors import DataError, MloptError
from mlopt.core.foreign_text import as_json, plain
from mlopt.results.section import Count, Section
from mlopt.sketches import distinct as hll
from mlopt.sketches.kll import MAX_BYTES as MAX_KLL_BYTES
from mlopt.sketches.kll import Quantiles, parse

SCHEMA = "mlopt.sketches/v1"
SKETCHES = "sketches.json"
"""What it is called in an artifact."""
MAX_BYTES = 1 << 19
MAX_PARTS = 128
"""Sketches of numbers in one document; of 3.2 kB each at most."""
MAX_CLASSES = 1000
Side = Literal["input", "output"]
Form = Literal["features", "values", "classes", "text"]
Text = Annotated[str, Field(max_length=300)]


class PartSketch(Section):
    """Numbers that belong together: a feature, all values of a tensor, or a figure of each row."""

    name: Text
    kll: Annotated[str, Field(max_length=2 * MAX_KLL_BYTES)]
    """base64; of what is finite as float32."""
    nan: Count = 0
    """Rows with NaN; of texts, rows that are null."""
    inf: Count = 0
    minus_inf: Count = 0
    below: Count | None = None
    """Rows with a value less than the least of the reference; null if there was none."""
    above: Count | None = None

    @property
    def numbers(self) -> Quantiles:
        """The sketch, read."""
        return _read(self.kll)

    @property
    def data(self) -> bytes:
        """The library's bytes."""
        return decoded(self.kll)


class TensorSketch(Section):
    """One input or output."""

    name: Text
    side: Side
    form: Form
    """``features``: a part for each value of a row; ``values``: one of all of them, and two of each row's mean and
    deviation; ``classes``: which class is the largest, its figure, and its lead; ``text``: how long."""
    dtype: Text
    size: Count | None
    """Values in a row; null if that varies."""
    rows: Count
    parts: Annotated[tuple[PartSketch, ...], Field(max_length=MAX_PARTS)]
    empty: Count = 0
    """Rows that hold nothing: texts of no length, arrays of no values."""
    distinct: Annotated[str, Field(max_length=2 * hll.MAX_BYTES)] | None = None
    """base64; of whole numbers and texts."""
    classes: Annotated[tuple[Count, ...], Field(max_length=MAX_CLASSES)] | None = None
    """How often each was the largest."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for part in self.parts:
            counts = (part.nan, part.inf, part.minus_inf, part.below or 0, part.above or 0)
            if max(counts) > self.rows:
                raise ValueError(f"{part.name}: more rows than there are")
            if not (self.form == "values" and part is self.parts[0]) and part.numbers.n > self.rows:
                raise ValueError(f"{part.name}: more values than rows")
        if max(self.empty, sum(self.classes or ())) > self.rows:
            raise ValueError("more rows than there are")
        if self.distinct is not None:
            hll.check(decoded(self.distinct))
        return self


class Sketches(Section):
    """The whole document."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True)

    schema_: Literal["mlopt.sketches/v1"] = Field(default="mlopt.sketches/v1", alias="schema")
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Of the artifact that answered; null in the artifact itself, whose digest is not known before it is whole."""
    rows: Count
    """Rows that were sketched."""
    offered: Count
    """Rows that there were, sketched or not."""
    tensors: Annotated[tuple[TensorSketch, ...], Field(max_length=200)]
    left_out: Annotated[tuple[Text, ...], Field(max_length=200)] = ()
    """Tensors that were not sketched, and why."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if sum(len(each.parts) for each in self.tensors) > MAX_PARTS:
            raise ValueError(f"more than {MAX_PARTS} sketches")
        if any(each.rows > self.rows for each in self.tensors) or self.rows > self.offered:
            raise ValueError("more rows than there are")
        return self

    def to_json(self) -> bytes:
        """Return the text of the document."""
        return (as_json(self.model_dump(mode="json", by_alias=True), indent=None) + "\n").encode()


@lru_cache(maxsize=4 * MAX_PARTS)
def _read(text: str) -> Quantiles:
    return parse(decoded(text))


def encoded(data: bytes) -> str:
    """Return bytes as the document has them."""
    return base64.b64encode(data).decode()


def decoded(text: str) -> bytes:
    """Return the bytes; raises ``DataError`` for what is no base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError("this is no base64", got=plain(text[:40])) from error


def read(data: bytes, where: str) -> Sketches:
    """Read a document; raises ``DataError`` for one that is too large, malformed, or of bytes that are no sketch."""
    if len(data) > MAX_BYTES:
        raise DataError("the sketches are too large", where=where, got=f"{len(data)} bytes", expected=f"{MAX_BYTES}")
    try:
        return Sketches.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError("the sketches are malformed", where=where, got=plain(f"{place}: {first['msg']}")) from error
    except MloptError as error:
        raise DataError("the sketches are malformed", where=where, got=plain(error.brief)) from error


def write(sketches: Sketches) -> bytes:
    """Return the document's text, of at most ``MAX_BYTES``; raises ``DataError`` if it were more."""
    data = sketches.to_json()
    if len(data) > MAX_BYTES:
        raise DataError("the sketches are too large", got=f"{len(data)} bytes", expected=f"at most {MAX_BYTES}")
    return data
