"""The token that texts are padded with: named by somebody, or an error; never a word by accident."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from token_data import SPECS, ids, options, problem_of, vocabulary, write

from mlopt.data.padding import files_beside, padding_of

tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed (the extra mlopt[data])")


@pytest.mark.parametrize(
    "token", ["<PAD>", "[PAD]", "<pad>", "<|pad|>", "<|padding|>", "<pad_token>", "<|finetune_right_pad_id|>"]
)
def test_a_token_that_is_called_so_pads(token: str, tmp_path: Path) -> None:
    for words, special in (((token,), ()), ((token,), (token,)), ((), (token,))):
        vocabulary(tmp_path, *words, special=special)
        rows, notes = ids(tmp_path)
        assert rows == [[1, 0, 2], [1, 2, 2]]
        assert any(f"{token!r} (2)" in note for note in notes) is (token not in {"[PAD]", "<pad>"})
        assert "no input 'attention_mask'" in notes[-1]


def test_nothing_pads_in_silence(tmp_path: Path) -> None:
    vocabulary(tmp_path, "pad", "##pad", special=("<|endoftext|>", "<|image_pad|>"))
    found = problem_of(tmp_path, options(), SPECS[:1])
    assert found.what == "the texts differ in length, and the tokenizer names no token to pad them with"
    assert found.got == "special tokens: <|endoftext|>, <|image_pad|>"
    assert ids(tmp_path, pad_token="<|endoftext|>")[0] == [[1, 0, 4], [1, 4, 4]]
    assert ids(tmp_path, pad_id=9, padding_side="left")[0] == [[9, 1, 0], [9, 9, 1]]
    assert problem_of(tmp_path, options(pad_token="<|endoftxt|>"), SPECS[:1]).fix == "did you mean '<|endoftext|>'?"
    write(tmp_path, {"text": "bad good"}, {"text": "good bad"})
    assert ids(tmp_path, padding="longest") == ([[1, 0], [0, 1]], ())
    write(tmp_path, {"text": "bad good bad good"}, {"text": "good bad good"})
    assert ids(tmp_path) == ([[1, 0, 1], [0, 1, 0]], ())


def test_two_names_for_padding_are_none(tmp_path: Path) -> None:
    vocabulary(tmp_path, special=("<PAD>", "<|pad|>"))
    assert "names no token" in problem_of(tmp_path, options(), SPECS[:1]).what


def test_the_tokenizers_own_settings_hold(tmp_path: Path) -> None:
    vocabulary(tmp_path, "x", pad_token="x", pad_id=2, direction="left")
    assert ids(tmp_path)[0] == [[2, 1, 0], [2, 2, 1]]
    assert ids(tmp_path, padding_side="right")[0] == [[1, 0, 2], [1, 2, 2]]
    vocabulary(tmp_path, pad_token="[PAD]")  # the library's default number, which is a word here
    found = problem_of(tmp_path, options(), SPECS[:1])
    assert (found.what, found.got) == (
        "the tokenizer pads with the number of another token", "pad_id 0, which is 'good'",
    )  # fmt: skip
    made = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    made.enable_padding(pad_id=7, pad_token="[PAD]")  # beyond the vocabulary: nobody else's
    made.enable_truncation(9, direction="left")
    made.save(str(tmp_path / "tokenizer.json"))
    write(tmp_path, {"text": "good bad bad bad"}, {"text": "bad"})
    assert ids(tmp_path)[0] == [[1, 1, 1], [1, 7, 7]]


@pytest.mark.parametrize("file", ["tokenizer_config.json", "special_tokens_map.json"])
def test_the_files_beside_it_name_the_token(file: str, tmp_path: Path) -> None:
    vocabulary(tmp_path, special=("<s>", "<|endoftext|>"))
    (tmp_path / file).write_text(json.dumps({"pad_token": {"content": "<|endoftext|>"}, "padding_side": "left"}))
    assert ids(tmp_path)[0] == [[3, 1, 0], [3, 3, 1]]
    (tmp_path / file).write_text('{"pad_token": "<gone>"}')
    assert problem_of(tmp_path, options(), SPECS[:1]).what == "the tokenizer has no such token"
    (tmp_path / file).write_text("{")
    assert problem_of(tmp_path, options(), SPECS[:1]).what == "the file beside the tokenizer is not JSON"


def test_what_the_recipe_says_of_the_end_goes_before_the_file_and_that_before_those_beside_it(tmp_path: Path) -> None:
    vocabulary(tmp_path, special=("[PAD]",), pad_token="[PAD]", pad_id=2, direction="left", pad_type_id=5)
    (tmp_path / "tokenizer_config.json").write_text('{"padding_side": "right"}')
    file = tmp_path / "tokenizer.json"
    made = tokenizers.Tokenizer.from_file(str(file))
    assert padding_of(made, file, token=None, number=None, side="right").direction == "right"
    found = padding_of(made, file, token=None, number=None, side=None)
    assert (found.token, found.id, found.type_id, found.direction, found.guessed) == ("[PAD]", 2, 5, "left", False)
    made.no_padding()
    assert padding_of(made, file, token=None, number=None, side=None).direction == "right"


def test_only_files_that_are_there_say_more_and_the_one_of_the_tokenizer_comes_first(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    assert files_beside(file) == []
    for name in ("special_tokens_map.json", "tokenizer_config.json", "config.json"):
        (tmp_path / name).write_text("{}")
    assert [each.name for each in files_beside(file)] == ["tokenizer_config.json", "special_tokens_map.json"]
