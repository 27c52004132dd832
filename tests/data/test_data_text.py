"""Text in .jsonl through a tokenizer file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlopt.core.errors import DataError, MissingPackage, Problem
from mlopt.data.reading import read
from mlopt.data.source import DataSource, TextOptions
from mlopt.formats.model import TensorSpec

tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed (pip install 'mlopt[data]')")

NAMES = ("input_ids", "attention_mask", "token_type_ids")
SPECS = tuple(TensorSpec(name, "int64", ("batch", "sequence")) for name in NAMES)
WORDS = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c"])}


@pytest.fixture(autouse=True)
def tokenizer(tmp_path: Path) -> None:
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(WORDS, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    made.save(str(tmp_path / "tokenizer.json"))


def options(**values: object) -> TextOptions:
    return TextOptions.model_validate({"tokenizer": "tokenizer.json", "max_length": 6, **values})


def write(path: Path, *rows: object) -> None:
    (path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def problem_of(base: Path, text: TextOptions | None, specs: tuple[TensorSpec, ...] = SPECS) -> Problem:
    with pytest.raises(DataError) as caught:
        read(DataSource(source="d.jsonl", text=text), base, specs)
    return caught.value.problems[0]


def test_lines_become_padded_arrays_with_labels(tmp_path: Path) -> None:
    write(tmp_path, {"text": "a b", "y": "neg"}, {"text": "c c c c c c c", "y": "pos"})
    samples = read(DataSource(source="d.jsonl", text=options(label="y")), tmp_path, SPECS)
    assert samples.inputs["input_ids"].tolist() == [[2, 4, 5, 3, 0, 0], [2, 6, 6, 6, 6, 3]]
    assert samples.inputs["attention_mask"].tolist() == [[1, 1, 1, 1, 0, 0], [1] * 6]
    assert samples.inputs["token_type_ids"].tolist() == [[0] * 6] * 2
    assert samples.labels is not None
    assert samples.labels.tolist() == [0, 1]


def test_padding_to_the_longest_and_only_the_models_inputs(tmp_path: Path) -> None:
    write(tmp_path, {"text": "a"}, {"text": "a b"}, {"text": "a b c"})
    source = DataSource(source="d.jsonl", limit=2, in_order=True, text=options(padding="longest"))
    specs = (TensorSpec("input_ids", "int32", ("batch", "sequence")),)
    samples = read(source, tmp_path, specs)
    assert list(samples.inputs) == ["input_ids"]
    assert samples.inputs["input_ids"].tolist() == [[2, 4, 3, 0], [2, 4, 5, 3]]
    assert samples.inputs["input_ids"].dtype == "int32"


def test_pairs_have_types(tmp_path: Path) -> None:
    write(tmp_path, {"q": "a", "p": "b"})
    samples = read(DataSource(source="d.jsonl", text=options(field="q", pair="p")), tmp_path, SPECS)
    assert samples.inputs["input_ids"].tolist() == [[2, 4, 3, 5, 3, 0]]
    assert samples.inputs["token_type_ids"].tolist() == [[0, 0, 0, 1, 1, 0]]


@pytest.mark.parametrize(
    ("content", "what", "line"),
    [
        (b'{"text": "a"}\n\n{"text": \n', "the line is not JSON in UTF-8", 3),
        (b'{"text": "\xff"}\n', "the line is not JSON in UTF-8", 1),
        (b"[" * 100_000, "the line is not JSON in UTF-8", 1),
        (b'"a"\n', "the line holds no object", 1),
        (b'{"txt": "a"}\n', "the field 'text' is missing", 1),
        (b'{"text": 1}\n', "the field 'text' is not text", 1),
        (b'{"text": "\\ud800"}\n', "the field 'text' is not valid Unicode", 1),
        (b"\n\n", "the file holds no lines", None),
        (b"", "the file holds no lines", None),
    ],
)
def test_bad_lines_are_named(content: bytes, what: str, line: int | None, tmp_path: Path) -> None:
    file = tmp_path / "d.jsonl"
    file.write_bytes(content)
    problem = problem_of(tmp_path, options())
    assert (problem.what, problem.where) == (what, f"{file}:{line}" if line else str(file))


def test_options_that_do_not_fit(tmp_path: Path) -> None:
    write(tmp_path, {"text": "a b c"}, {"text": ""})
    assert problem_of(tmp_path, None).what == "text needs a tokenizer"
    assert problem_of(tmp_path, options(label="y")).what == "the field 'y' is missing"
    assert problem_of(tmp_path, options(tokenizer="absent.json")).what == "the tokenizer file does not exist"
    assert problem_of(tmp_path, options(tokenizer="d.jsonl")).what == "this is no tokenizer.json"
    assert problem_of(tmp_path, options(max_length=2)).expected == "3 or more"
    image = (TensorSpec("image", "float32", ("batch", 3)),)
    assert problem_of(tmp_path, options(), image).what == "no tokenizer output is called 'image'"
    assert problem_of(tmp_path, options(), (TensorSpec("input_ids", "int64", (1, 9)),)).expected == "[samples, 9]"


def test_a_tokenizer_without_its_own_unknown_token(tmp_path: Path) -> None:
    tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, unk_token="[UNK]")).save(str(tmp_path / "odd.json"))
    write(tmp_path, {"text": "b"})
    found = problem_of(tmp_path, options(tokenizer="odd.json"), SPECS[:1])
    assert found.what == "the tokenizer cannot read this text"
    assert found.got == "'b': WordLevel error: Missing [UNK] token from the vocabulary"


def vocabulary(base: Path, *words: str, special: tuple[str, ...] = (), **padding: object) -> None:
    """Write a tokenizer in which 0 is a word and nothing is said of padding, unless ``padding`` does."""
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


def test_byte_order_marks(tmp_path: Path) -> None:
    vocabulary(tmp_path)
    (tmp_path / "d.jsonl").write_bytes('\ufeff{"text": "bad"}\r\n{"text": "good"}\r\n'.encode())
    assert ids(tmp_path, padding="longest")[0] == [[1], [0]]
    (tmp_path / "d.jsonl").write_bytes('{"text": "bad"}'.encode("utf-16"))
    assert problem_of(tmp_path, options()).what == "the file is in UTF-16"


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=80)
    | st.lists(
        st.dictionaries(st.sampled_from(["text", "y"]), st.text() | st.integers() | st.floats() | st.none()), max_size=4
    ).map(lambda rows: "\n".join(json.dumps(row) for row in rows).encode())
)
def test_no_bytes_escape_as_anything_but_a_data_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_bytes(content)
    try:
        samples = read(DataSource(source="d.jsonl", text=options(label="y")), tmp_path, SPECS)
    except DataError:
        return
    assert samples.inputs["input_ids"].shape[1] == 6


def test_without_tokenizers_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"text": "a"})
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    with pytest.raises(MissingPackage, match=r'pip install "mlopt\[data\]"'):
        read(DataSource(source="d.jsonl", text=options()), tmp_path, SPECS)
