from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopt.core.errors import RecipeError
from mlopt.recipe.document import Place
from mlopt.recipe.yaml_reader import MAX_BYTES, MAX_DEPTH, read_file, read_text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("on", "on"), ("yes", "yes"), ("y", "y"), ("true", True), ("FALSE", False), ("tRue", "tRue"),
        ("~", None), ("null", None), ("''", ""), ("12", 12), ("-7", -7), ("012", 12), ("0o17", 15), ("0xfF", 255),
        ("1_000", "1_000"), ("12:30:45", "12:30:45"), ("2026-11-23", "2026-11-23"), ("1e-3", 0.001), (".5", 0.5),
        ("1.", 1.0), ("-2.5E+3", -2500.0), ("'1'", "1"), ('"true"', "true"), ("0b1", "0b1"), ("=", "="),
        ("9223372036854775807", 2**63 - 1), ("[a, 1, {b: no}]", ["a", 1, {"b": "no"}]), ("|\n  a\n  b\n", "a\nb\n"),
    ],
)  # fmt: skip
def test_scalars_follow_the_core_schema(text: str, value: Any) -> None:
    read = read_text(text, "x").data
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: !!python/object/apply:os.system [ls]", "a tag ("),
        ("a: ! b", "a tag ('!') is not allowed"),
        ("a: &x 1", "an anchor (&x) is not allowed"),
        ("a: *x", "an alias (*x) is not allowed"),
        ("a: {<<: {b: 1}}", "a merge key (<<) is not allowed"),
        ("a: 1\nb: 2\na: 3", "duplicate key 'a'"),
        ("'a': 1\n\"a\": 2", "duplicate key 'a'"),
        ("1: x", "a key must be text"),
        ("[a]: x", "a key must be text"),
        ("true: x", "a key must be text"),
        ("a: 1\n---\nb: 2", "a second document is not allowed"),
        ("%YAML 1.1\n---\na: 1", "a YAML directive (%) is not allowed"),
        ("a: .nan", "the number is not finite"),
        ("a: -.inf", "the number is not finite"),
        ("a: 1e999", "the number is not finite"),
        ("a: 9223372036854775808", "the number is too large"),
        ("a: " + "9" * 9999, "the number is too large"),
        ('a: "\\ud800"', "half of a surrogate pair"),
        ('a: "\\UFFFFFFFF"', "this is not YAML"),
        ("a: [1, 2", "this is not YAML"),
        ("a:\tb: c", "this is not YAML"),
        ("a: \x00", "this is not YAML"),
        ("# nothing\n", "holds nothing but comments"),
    ],
)
def test_what_surprises_is_refused(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read_text(text, "x.yaml")
    assert message in str(caught.value)
    assert all(problem.where and problem.where.startswith("x.yaml") for problem in caught.value.problems)


def test_everything_refused_is_reported_at_once_with_its_place() -> None:
    with pytest.raises(RecipeError) as caught:
        read_text("a: &x 1\nb: [*x, !t 2]\na: .inf\n", "x.yaml")
    assert [problem.where for problem in caught.value.problems] == [
        "x.yaml:1:4", "x.yaml:2:5", "x.yaml:2:9", "x.yaml:3:1", "x.yaml:3:4",
    ]  # fmt: skip


def test_every_key_path_has_its_place() -> None:
    document = read_text("a: 1\nb:\n  - c: [x, y]\n", "f")
    assert document.key_place(("b", 0, "c")) == Place(3, 5, "f")
    assert document.value_place(("b", 0, "c", 1)) == Place(3, 12, "f")
    assert document.value_place(("b", 0, "missing")) == Place(3, 5, "f")
    assert document.value_place(("nowhere",)) == Place(1, 1, "f")


def test_nesting_is_bounded() -> None:
    assert read_text("[" * MAX_DEPTH + "]" * MAX_DEPTH, "x")
    with pytest.raises(RecipeError, match="nested too deeply"):
        read_text("[" * 100_000, "x")


def test_size_is_bounded(tmp_path: Path) -> None:
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(RecipeError, match="too large"):
        read_file(large)
    with pytest.raises(RecipeError, match="too large"):
        read_file(Path("/dev/zero"))


def test_bytes_that_are_not_utf8_have_a_place(tmp_path: Path) -> None:
    file = tmp_path / "latin1.yaml"
    file.write_bytes("a: 1\nname: né".encode("latin-1"))
    with pytest.raises(RecipeError, match=r"latin1.yaml:2:8: the file is not text in UTF-8\n  got +the byte 0xe9"):
        read_file(file)


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        read_file(tmp_path)


_YAML_LIKE = st.text(st.sampled_from("ab01.:-?[]{}&*!|>'\"%#,<~\n\t \\u\ud7ff\ufeff\x85é"), max_size=60)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80) | _YAML_LIKE)
def test_bad_input_is_never_anything_but_a_recipe_error(source: bytes | str) -> None:
    try:
        told = str(read_text(source, "x").value_place(("a", 0)))
    except RecipeError as error:
        told = str(error)
    assert told.startswith("x")
