"""PyTorch models as a format: a program can be shipped, a directory that names a recipe's Python cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlopt.core.errors import ModelError
from mlopt.formats.model import TORCH, Model, TensorSpec, digest_file
from mlopt.formats.torch.entry import FORMAT


def handle(path: Path) -> Model:
    return Model(TORCH, path, "d" * 64, (), (), (path,))


def test_a_directory_keeps_its_digest_and_a_program_has_that_of_its_file(tmp_path: Path) -> None:
    assert FORMAT.digest is not None
    program = tmp_path / "net.pt2"
    program.write_bytes(b"program")
    assert FORMAT.digest(handle(tmp_path)) == "d" * 64
    assert FORMAT.digest(handle(program)) == digest_file(program)


def test_only_a_program_can_be_shipped(tmp_path: Path) -> None:
    (tmp_path / "net.pt2").write_bytes(b"program")
    assert FORMAT.unshippable(handle(tmp_path / "net.pt2")) is None
    assert "which an artifact does not hold" in (FORMAT.unshippable(handle(tmp_path)) or "")


@pytest.mark.parametrize("declared", [(), (TensorSpec("x", "float32", (1,)),)])
def test_what_is_neither_is_an_error(tmp_path: Path, declared: tuple[TensorSpec, ...]) -> None:
    pytest.importorskip("torch", reason="needs the extra mlopt[torch]")
    assert FORMAT.open_declared is not None
    with pytest.raises(ModelError, match="this is no PyTorch model that mlopt wrote"):
        FORMAT.open_declared(tmp_path, declared, ()) if declared else FORMAT.open(tmp_path)
    with pytest.raises(ModelError, match="the model file does not exist"):
        FORMAT.open_declared(tmp_path / "a.pt2", declared, ()) if declared else FORMAT.open(tmp_path / "a.pt2")
