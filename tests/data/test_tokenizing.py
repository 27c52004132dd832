"""Tokenizers that cannot be opened, or cannot read a text: what the message says works when it is done."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlopt.core.errors import DataError, Problem
from mlopt.data.tokenizing import encode, open_tokenizer

tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed (the extra mlopt[data])")
models = tokenizers.models
WORDS = {"the": 0, "cat": 1, "[PAD]": 2}
LETTERS = {letter: number for number, letter in enumerate("thecat")}
PIECES = [("<pad>", 0.0), *((letter, -1.0) for letter in "thecat")]


def saved(base: Path, model: Any, *, name: str = "my tokenizer's.json") -> Path:
    made = tokenizers.Tokenizer(model)
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.save(str(base / name))
    return base / name


def ids(file: Path, *texts: Any, length: int = 8) -> list[list[int]]:
    places = [f"d.jsonl:{number + 10}" for number in range(len(texts))]
    pairs = isinstance(texts[0], tuple)
    return [one.ids for one in encode(open_tokenizer(file), texts, places, file, length, pairs=pairs)]


def refused(file: Path, *texts: Any, length: int = 8) -> Problem:
    with pytest.raises(DataError) as caught:
        ids(file, *texts, length=length)
    (problem,) = caught.value.problems
    return problem


LACKING: dict[str, Any] = {
    "WordLevel": lambda: models.WordLevel(WORDS),
    "WordLevel, another one named": lambda: models.WordLevel(WORDS, unk_token="<unk>"),
    "WordPiece": lambda: models.WordPiece(WORDS),
    "BPE": lambda: models.BPE(LETTERS, [], unk_token="[UNK]"),
    "Unigram": lambda: models.Unigram(PIECES),
}
HAVING: dict[str, Any] = {
    "WordLevel": lambda: models.WordLevel(WORDS | {"[UNK]": 3}, unk_token="<none>"),
    "WordPiece": lambda: models.WordPiece(WORDS | {"[UNK]": 3}, unk_token="<none>"),
    "BPE": lambda: models.BPE(LETTERS | {"<unk>": 9}, [], unk_token="[UNK]"),
    "Unigram": lambda: models.Unigram([*PIECES, ("<unk>", -9.0)]),
}


@pytest.mark.parametrize("kind", LACKING)
def test_what_a_tokenizer_does_not_know_is_named(kind: str, tmp_path: Path) -> None:
    problem = refused(saved(tmp_path, LACKING[kind]()), "the cat", "the zebra")
    assert (problem.what, problem.where) == ("the tokenizer cannot read this text", "d.jsonl:11")
    assert str(problem.got).startswith("'zebra': ")
    assert str(problem.fix).startswith("leave this text out, or take the tokenizer.json that the model was trained")


@pytest.mark.process
@pytest.mark.parametrize("kind", HAVING)
def test_a_token_for_the_unknown_is_taken_by_the_command_that_is_told(kind: str, tmp_path: Path) -> None:
    file = saved(tmp_path, HAVING[kind]())
    fix = str(refused(file, "the zebra").fix)
    command = shlex.split(fix.partition(": ")[2])
    assert command[:2] == ["python", "-c"]
    subprocess.run([sys.executable, *command[1:]], check=True)
    unknown = tokenizers.Tokenizer.from_file(str(file)).token_to_id(fix.split()[3])
    assert unknown in ids(file, "the zebra")[0]


def test_of_one_text_nothing_is_said_of_a_second(tmp_path: Path) -> None:
    file = saved(tmp_path, models.WordLevel(WORDS))
    made = open_tokenizer(file)
    made.enable_truncation(3, strategy="only_second")
    made.save(str(file))
    assert ids(file, "the cat the cat", length=2) == [[0, 1]]
    problem = refused(file, ("the cat the cat the cat", "cat"), length=2)
    assert "text.max_length" in str(problem.fix)


@pytest.mark.parametrize(
    ("content", "fix"),
    [
        (json.dumps({"model_max_length": 512}), "save_pretrained"),
        (json.dumps({"the": 0}), "save_pretrained"),
        ("the\ncat\n", "save_pretrained"),
        (json.dumps({"model": {"type": "Foo"}}), "pip install --upgrade tokenizers"),
    ],
)
def test_another_file_says_what_to_give(content: str, fix: str, tmp_path: Path) -> None:
    other = tmp_path / "vocab.txt"
    other.write_text(content)
    with pytest.raises(DataError, match=r"this is no tokenizer\.json") as caught:
        open_tokenizer(other)
    assert fix in str(caught.value.problems[0].fix)
    saved(tmp_path, models.WordLevel(WORDS), name="tokenizer.json")
    with pytest.raises(DataError, match=r"name the tokenizer\.json beside it"):
        open_tokenizer(other)
    with pytest.raises(DataError, match="name the file in it"):
        open_tokenizer(tmp_path)
