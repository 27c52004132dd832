"""A folder where a model belongs: an artifact, or a mistake that is told from a fault of integrity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlopt.artifact import layout
from mlopt.artifact.given import given_manifest
from mlopt.core.errors import ExitCode, IntegrityError, ModelError


def test_an_artifact_gives_its_manifest(tmp_path: Path, fill: Any) -> None:
    layout.write(tmp_path / "digits", fill())
    assert given_manifest(tmp_path / "digits").name == "digits"


def test_a_folder_that_is_no_artifact_is_a_mistake_and_names_the_model_in_it(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="this folder is no artifact") as error:
        given_manifest(tmp_path)
    assert error.value.exit_code == ExitCode.USAGE
    assert error.value.problems[0].fix == "check the path"
    for name in ("b.onnx", "a.onnx"):
        (tmp_path / name).touch()
    with pytest.raises(ModelError) as error:
        given_manifest(tmp_path)
    assert error.value.problems[0].fix == f"name the model in it: {tmp_path / 'a.onnx'}"


@pytest.mark.parametrize("broken", ["empty", "dangling link"])
def test_a_manifest_that_is_there_and_broken_is_a_fault_of_integrity(tmp_path: Path, broken: str) -> None:
    if broken == "empty":
        (tmp_path / "mlopt.json").write_bytes(b"")
    else:
        (tmp_path / "mlopt.json").symlink_to(tmp_path / "nowhere")
    with pytest.raises(IntegrityError):
        given_manifest(tmp_path)
