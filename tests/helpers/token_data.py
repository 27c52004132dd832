"""Lines of text and small tokenizers, read as a recipe's data: ``d.jsonl`` and ``tokenizer.json`` in one folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlopt.core.errors import DataError, Problem
from mlopt.data.reading import read
from mlopt.data.source import DataSource, TextOptions
from mlopt.formats.model import TensorSpec

NAMES = ("input_ids", "attention_mask", "token_type_ids")
SPECS = tuple(TensorSpec(name, "int64", ("batch", "sequence")) for name in NAMES)


def options(**values: object) -> TextOptions:
    return TextOptions.model_validate({"tokenizer": "tokenizer.json", "max_length": 6, **values})


def write(path: Path, *rows: object) -> None:
    (path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def problem_of(base: Path, text: TextOptions | None, specs: tuple[TensorSpec, ...] = SPECS) -> Problem:
    with pytest.raises(DataError) as caught:
        read(DataSource(source="d.jsonl", text=text), base, specs)
    return caught.value.problems[0]


def vocabulary(base: Path, *words: str, special: tuple[str, ...] = (), **padding: object) -> None:
    """Write a tokenizer in which 0 is a word and nothing is said of padding, unless ``padding`` does."""
    import tokenizers

    made = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: n for n, word in enumerate(("good", "bad", *words))})
    )
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens(list(special))
    if padding:
        made.enable_padding(**padding)
    made.save(str(base / "tokenizer.json"))
    write(base, {"text": "bad good"}, {"text": "bad"})


def ids(base: Path, **values: object) -> tuple[list[list[int]], tuple[str, ...]]:
    source = DataSource(source="d.jsonl", text=options(max_length=3, **values))
    samples = read(source, base, SPECS[:1])
    return samples.inputs["input_ids"].tolist(), samples.notes
