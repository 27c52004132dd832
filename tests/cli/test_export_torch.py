"""The verb: what it prints, how it exits, and what it says instead of a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from packed_artifact import pack
from plain_modules import NET, narrowed

import mlopt
from mlopt.artifact.signing import keys
from mlopt.artifact.signing.signers import KeySigner
from mlopt.cli.app import run


@pytest.fixture
def artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An artifact, signed with the user's own key, that keeps a PyTorch model."""
    monkeypatch.chdir(tmp_path)
    return pack(tmp_path, KeySigner(keys.user_key().private), module=narrowed(tmp_path)).path


@pytest.mark.process
@pytest.mark.heavy
def test_a_model_leaves_as_a_folder_that_recipes_take(artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export-torch", str(artifact), "--allow-code"]) == 0
    said = capsys.readouterr().out
    assert "wrote digits-torch: build() in build.py makes the module by net.py:build, without mlopt" in said
    assert "as the source of a recipe: digits-torch/build.py:build" in said
    assert run(["export-torch", str(artifact), "-o", "other", "--allow-code", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["folder"], found["source"]) == ("other", "other/build.py:build")
    assert found["files"] == sorted(file.name for file in Path("other").iterdir())
    assert found["inputs"] == [{"name": "input", "dtype": "float32", "shape": ["batch", 3]}]


def test_a_place_that_is_taken_and_python_without_consent_are_the_users_to_mend(
    artifact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["export-torch", str(artifact)]) == 2
    assert "read that code, then add --allow-code" in capsys.readouterr().err
    Path("digits-torch").mkdir()
    assert run(["export-torch", str(artifact), "--allow-code"]) == 2
    assert "something is there already, and is not overwritten" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["torch/net.py", "torch/weights.safetensors", "torch/source.json"])
def test_what_was_tampered_with_is_a_fault_of_integrity_and_never_runs(
    artifact: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with (artifact / name).open("ab") as stream:
        stream.write(b"\n")
    assert run(["export-torch", str(artifact), "--allow-code"]) == 4
    assert f"{name}: the file was changed after it was signed" in capsys.readouterr().err
    assert not Path("digits-torch").exists()


@pytest.mark.process
@pytest.mark.heavy
def test_nothing_else_that_reads_an_artifact_runs_its_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = f"open({str(tmp_path / 'ran')!r}, 'w').close()\n{NET}"
    made = pack(tmp_path, KeySigner(keys.user_key().private), module=narrowed(tmp_path, text)).path
    (tmp_path / "ran").unlink()
    for command in (["verify"], ["digest"], ["gate"], ["report", "--format", "json"], ["inspect"], ["pack"]):
        assert run([command[0], str(made), *command[1:]]) == 0, capsys.readouterr().err
    assert run(["unpack", "digits-1.mlopt", "-o", "back"]) == 0
    with mlopt.load("back") as session:
        assert session is not None
    assert not (tmp_path / "ran").exists()
    assert run(["export-torch", "back", "--allow-code"]) == 0
    assert (tmp_path / "ran").exists()


def test_an_artifact_of_an_onnx_file_has_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = pack(tmp_path, KeySigner(keys.user_key().private))
    assert run(["export-torch", str(made.path), "--allow-code"]) == 2
    said = capsys.readouterr().err
    assert "the artifact holds no PyTorch model: it was not made from one" in said
    assert "name the Python that builds the model as model.source" in said


def test_unpacked_it_is_the_same(artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pack", str(artifact), "-o", str(tmp_path / "a.mlopt")]) == 0
    assert run(["unpack", str(tmp_path / "a.mlopt"), "-o", str(tmp_path / "back")]) == 0
    capsys.readouterr()
    there = sorted(file.relative_to(artifact) for file in artifact.rglob("*"))
    assert sorted(file.relative_to(tmp_path / "back") for file in (tmp_path / "back").rglob("*")) == there
