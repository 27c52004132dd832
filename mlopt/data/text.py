"""Lines of ``.jsonl`` as token ids, through a Hugging Face ``tokenizer.json``.

Each line is a JSON object. The tokenizer's three arrays are matched to the model's inputs by name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlopt.core.errors import DataError
from mlopt.data.dataset import Array, Samples
from mlopt.data.labels import label_array
from mlopt.data.padding import Padding, padding_of
from mlopt.data.source import TextOptions
from mlopt.data.tokenizing import encode, open_tokenizer
from mlopt.data.unequal import PAD

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

    from mlopt.formats.model import TensorSpec

_FIELDS: dict[str, str] = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
Window = Callable[[int, Array | None, Sequence[Hashable]], list[int]]


def read_text(
    path: Path, options: TextOptions | None, base: Path, inputs: Sequence[TensorSpec], window: Window,
    classes: Sequence[str] = (),
) -> Samples:  # fmt: skip
    """Tokenize the lines that ``window`` chooses; arrays are int64 of shape [samples, tokens]."""
    if options is None:
        raise DataError(
            "text needs a tokenizer",
            where=str(path),
            fix="name it in a recipe, beside `source`: `text: {tokenizer: tokenizer.json}`",
        )
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
    labels = _labels(rows, options.label, path, classes)
    chosen = window(len(rows), labels, texts)
    tokenizer = open_tokenizer(base / options.tokenizer)
    special = tokenizer.num_special_tokens_to_add(is_pair=options.pair is not None)
    if options.max_length <= special:  # the library would answer with rows of different lengths
        raise DataError(
            "text.max_length leaves no room beside the tokenizer's special tokens",
            where=str(path),
            got=str(options.max_length),
            expected=f"{special + 1} or more",
        )
    encodings = encode(
        tokenizer, [texts[row] for row in chosen], [f"{path}:{rows[row][0]}" for row in chosen],
        base / options.tokenizer, options.max_length, pairs=options.pair is not None,
    )  # fmt: skip
    padding = _fill(tokenizer, encodings, options, base / options.tokenizer)
    arrays = {name: _array(encodings, _FIELDS[name]) for name in names}
    return Samples(arrays, None if labels is None else labels[chosen], tuple(_remarks(padding, names)))


def _rows(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """The JSON objects with their line numbers; blank lines are passed over."""
    rows = []
    content = path.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError("the file is in UTF-16", where=str(path), expected="UTF-8", fix="save it in UTF-8")
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
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
        listed = isinstance(value, list)
        raise DataError(
            f"the field '{field}' is not text", where=where, got=json.dumps(value)[:80], expected="text in quotes",
            fix=f"give token ids as arrays in a .npz file, padded to one length: {PAD}" if listed
            else "write it as text, or name the key that holds the text in the recipe: `text: {field: KEY}`",
        )  # fmt: skip
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:  # JSON can spell half of a surrogate pair, which no tokenizer takes
        raise DataError(f"the field '{field}' is not valid Unicode", where=where, got=str(error)) from error
    return value


def _field(row: dict[str, Any], field: str, where: str) -> object:
    if field not in row:
        raise DataError(f"the field '{field}' is missing", where=where, got=", ".join(row) or "no fields")
    return row[field]


def _labels(
    rows: list[tuple[int, dict[str, Any]]], field: str | None, path: Path, classes: Sequence[str]
) -> Array | None:
    if field is None:
        return None
    labels = [_field(row, field, f"{path}:{number}") for number, row in rows]
    return label_array(labels, str(path), [number for number, _ in rows], classes)


def _fill(tokenizer: Tokenizer, encodings: Sequence[Encoding], options: TextOptions, file: Path) -> Padding | None:
    """Bring all encodings to one length; return how, or None where nothing was to be filled."""
    lengths = {len(encoding.ids) for encoding in encodings}
    length = options.max_length if options.padding == "fixed" else max(lengths, default=1)
    if lengths <= {length} and length:
        return None
    padding = padding_of(tokenizer, file, token=options.pad_token, number=options.pad_id, side=options.padding_side)
    for encoding in encodings:
        encoding.pad(
            max(length, 1), direction=padding.direction, pad_id=padding.id, pad_type_id=padding.type_id,
            pad_token=padding.token,
        )  # fmt: skip
    return padding


def _remarks(padding: Padding | None, names: Sequence[str]) -> Iterator[str]:
    """Yield what is not certain of the padding, or may harm."""
    if padding is not None and padding.guessed:
        yield f"texts are padded with {padding.token!r} ({padding.id}), which is called like a token for that"
    if padding is not None and "attention_mask" not in names:
        yield f"the model has no input 'attention_mask', so it reads the padding, {padding.token!r}, as text"


def _array(encodings: Sequence[Encoding], attribute: str) -> Array:
    return np.array([getattr(encoding, attribute) for encoding in encodings], dtype=np.int64)
