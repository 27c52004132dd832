"""Lines of ``.jsonl`` as token ids, through a Hugging Face ``tokenizer.json``.

Each line is a JSON object. The tokenizer's three arrays are matched to the model's inputs by name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from mlopt.data.dataset import Array, Samples
from mlopt.data.labels import label_array
from mlopt.errors import DataError, MissingPackage

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

    from mlopt.model import TensorSpec

_FIELDS: dict[str, str] = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
Window = Callable[[int, Array | None, Sequence[Hashable]], list[int]]


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


def read_text(
    path: Path, options: TextOptions | None, base: Path, inputs: Sequence[TensorSpec], window: Window
) -> Samples:
    """Tokenize the lines that ``window`` chooses; arrays are int64 of shape [samples, tokens]."""
    if options is None:
        raise DataError("text needs a tokenizer", where=str(path), fix="add `text: {tokenizer: tokenizer.json}`")
    names = [spec.name for spec in inputs]
    unknown = [name for name in names if name not in _FIELDS]
    if unknown or not names:
        raise DataError(
            f"no tokenizer output is called '{unknown[0]}'" if unknown else "the model's inputs are not declared",
            where=str(path),
            got=", ".join(names) or None,
            expected="inputs among " + ", ".join(_FIELDS),
            fix="rename the model's inputs, or give the arrays as .npz or through a Python function",
        )
    rows = _rows(path)
    texts = [_texts(row, options, f"{path}:{number}") for number, row in rows]
    labels = _labels(rows, options.label, path)
    chosen = window(len(rows), labels, texts)
    tokenizer = _tokenizer(base / options.tokenizer)
    special = tokenizer.num_special_tokens_to_add(is_pair=options.pair is not None)
    if options.max_length <= special:  # the library would answer with rows of different lengths
        raise DataError(
            "text.max_length leaves no room beside the tokenizer's special tokens",
            where=str(path),
            got=str(options.max_length),
            expected=f"{special + 1} or more",
        )
    try:
        encodings = _encode(tokenizer, [texts[row] for row in chosen], options)
    except Exception as error:  # nothing more specific; such as that its vocabulary lacks its own unknown token
        raise DataError("the tokenizer cannot read these texts", where=str(path), got=str(error)) from error
    arrays = {name: _array(encodings, _FIELDS[name]) for name in names}
    return Samples(arrays, None if labels is None else labels[chosen])


def _rows(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """The JSON objects with their line numbers; blank lines are passed over."""
    rows = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise DataError(
                "the line is not JSON in UTF-8", where=f"{path}:{number}", got=str(error), expected='{"text": "..."}'
            ) from error
        if not isinstance(row, dict):
            raise DataError(
                "the line holds no object", where=f"{path}:{number}", got=type(row).__name__, expected='{"text": "..."}'
            )
        rows.append((number, row))
    if not rows:
        raise DataError("the file holds no lines", where=str(path), got=f"{path.stat().st_size} bytes")
    return rows


def _texts(row: dict[str, Any], options: TextOptions, where: str) -> str | tuple[str, str]:
    first = _text(row, options.field, where)
    return first if options.pair is None else (first, _text(row, options.pair, where))


def _text(row: dict[str, Any], field: str, where: str) -> str:
    value = _field(row, field, where)
    if not isinstance(value, str):
        raise DataError(f"the field '{field}' is not text", where=where, got=type(value).__name__)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:  # JSON can spell half of a surrogate pair, which no tokenizer takes
        raise DataError(f"the field '{field}' is not valid Unicode", where=where, got=str(error)) from error
    return value


def _field(row: dict[str, Any], field: str, where: str) -> object:
    if field not in row:
        raise DataError(f"the field '{field}' is missing", where=where, got=", ".join(row) or "no fields")
    return row[field]


def _labels(rows: list[tuple[int, dict[str, Any]]], field: str | None, path: Path) -> Array | None:
    if field is None:
        return None
    return label_array([_field(row, field, f"{path}:{number}") for number, row in rows], str(path))


def _tokenizer(path: Path) -> Tokenizer:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingPackage(
            "text needs the tokenizers library", where=str(path), fix='pip install "mlopt[data]"'
        ) from error
    if not path.is_file():
        raise DataError("the tokenizer file does not exist", where=str(path), fix="check text.tokenizer")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing more specific
        raise DataError("this is no tokenizer.json", where=str(path), got=str(error)) from error


def _encode(tokenizer: Tokenizer, texts: Sequence[str | tuple[str, str]], options: TextOptions) -> list[Encoding]:
    """Encode every text to one length, padded as the tokenizer file says or, if it is silent, with its pad token."""
    pad = tokenizer.padding or _pad_token(tokenizer)
    settings = {key: pad[key] for key in ("pad_id", "pad_type_id", "pad_token", "direction") if key in pad}
    tokenizer.enable_padding(length=options.max_length if options.padding == "fixed" else None, **settings)
    tokenizer.enable_truncation(options.max_length)
    encodings: list[Encoding] = tokenizer.encode_batch(texts)
    return encodings


def _pad_token(tokenizer: Tokenizer) -> dict[str, Any]:
    known = {token: tokenizer.token_to_id(token) for token in ("[PAD]", "<pad>")}
    return next(({"pad_token": token, "pad_id": number} for token, number in known.items() if number is not None), {})


def _array(encodings: Sequence[Encoding], attribute: str) -> Array:
    return np.array([getattr(encoding, attribute) for encoding in encodings], dtype=np.int64)
