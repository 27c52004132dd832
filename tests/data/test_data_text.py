"""Text in .jsonl through a tokenizer file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from token_data import SPECS, ids, options, problem_of, vocabulary, write

from mlopt.core.errors import DataError, MissingPackage
from mlopt.core.packages import install_command
from mlopt.data.reading import read
from mlopt.data.source import DataSource
from mlopt.formats.model import TensorSpec

tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed (the extra mlopt[data])")

WORDS = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c"])}


@pytest.fixture(autouse=True)
def tokenizer(tmp_path: Path) -> None:
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(WORDS, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    made.save(str(tmp_path / "tokenizer.json"))


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
    with pytest.raises(MissingPackage, match=re.escape(install_command("data"))):
        read(DataSource(source="d.jsonl", text=options()), tmp_path, SPECS)
