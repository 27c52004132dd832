"""A model as a handle: its interface in words, its size, and digests that ``sha256sum`` gives as well."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from mlopt.core.errors import ModelError
from mlopt.formats.model import (
    NOT_IN_NUMPY,
    ONNX,
    Model,
    TensorSpec,
    count_of,
    digest_file,
    digest_files,
    is_numeric,
)  # fmt: skip


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_tensor_is_told_with_its_free_dimensions_by_name() -> None:
    spec = TensorSpec("ids", "int64", ("batch", 3, "t + 1"))
    assert str(spec) == "ids: int64[batch, 3, t + 1]"
    assert spec.dynamic_axes == (0, 2)
    assert str(TensorSpec("rate", "int64", ())) == "rate: int64[]"


@pytest.mark.parametrize("dtype", ["float16", "float32", "int8", "uint64", "bool"])
def test_numpys_own_numbers_are_numbers(dtype: str) -> None:
    assert is_numeric(dtype)


@pytest.mark.parametrize("dtype", [*sorted(NOT_IN_NUMPY), "complex64", "string", "str", "object", ""])
def test_what_numpy_has_no_numbers_for_is_none_whatever_adds_it(dtype: str) -> None:
    import ml_dtypes  # noqa: F401 - it registers its types with NumPy

    assert not is_numeric(dtype)


def test_of_many_names_a_few_are_shown_and_all_counted() -> None:
    assert count_of(list("abcd")) == "'a', 'b', 'c', 'd'"
    assert count_of([*"abcdefg"]) == "'a', 'b', 'c', 'd' and 3 more"


def test_a_model_is_as_large_as_all_its_files(tmp_path: Path) -> None:
    files = (tmp_path / "model.onnx", tmp_path / "deep.data")
    for size, file in enumerate(files, 3):
        file.write_bytes(b"x" * size)
    assert Model(ONNX, files[0], "", (), (), files).size_bytes == 7


def test_one_files_digest_is_its_own_and_several_ones_that_of_their_lines_by_name(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name, content in {"z": b"1", "b/a": b"2"}.items():
        (tmp_path / name).write_bytes(content)
    assert digest_file(tmp_path / "z") == digest_files([tmp_path / "z"], tmp_path) == sha(b"1")
    lines = f"{sha(b'2')}  b/a\n{sha(b'1')}  z\n"
    both = [tmp_path / "z", tmp_path / "b/a"]
    assert digest_files(both, tmp_path) == digest_files(both[::-1], tmp_path) == sha(lines.encode())


def test_another_name_is_another_model_even_one_that_is_no_text(tmp_path: Path) -> None:
    digests = set()
    for name in ("a", "b", "\udcff"):
        (tmp_path / name).write_bytes(b"same")
        (tmp_path / "main").write_bytes(b"main")
        digests.add(digest_files([tmp_path / "main", tmp_path / name], tmp_path))
    assert len(digests) == 3


def test_of_no_file_there_is_no_digest(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no file"):
        digest_files([], tmp_path)


def test_a_spec_is_plain_data_with_its_value_if_it_has_one() -> None:
    assert TensorSpec("x", "float32", ("n", 3)).as_dict() == {"name": "x", "dtype": "float32", "shape": ["n", 3]}
    assert TensorSpec("k", "int64", (2,), (1, 2)).as_dict()["value"] == [1, 2]


def test_long_values_are_shown_short_and_still_told_apart() -> None:
    first, second = (TensorSpec("x", "int64", (500,), (*range(499), last)) for last in (0, 1))
    assert len(str(first)) < 150
    assert str(first) != str(second)
    assert str(TensorSpec("sr", "int64", (), 16000)) == "sr: int64[] = 16000"


def test_what_is_fixed_is_known_by_name() -> None:
    inputs = (TensorSpec("x", "float32", (1,)), TensorSpec("sr", "int64", (), 16000))
    model = Model(ONNX, Path("m.onnx"), "", inputs, (), ())
    assert model.fixed == {"sr": 16000}
