"""The verbs pack and unpack: what they print, how they exit, and that every machine gets the same archive."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from mlopt.artifact import layout
from mlopt.artifact.layout import Content, ModelEntry, Role
from mlopt.artifact.sign import sign
from mlopt.artifact.signing import keys
from mlopt.artifact.signing.signers import KeySigner
from mlopt.cli.pack import pack
from mlopt.cli.unpack import unpack
from mlopt.core.errors import ExitCode, IntegrityError, UserError
from mlopt.formats.model import ONNX, TensorSpec


def run(*arguments: object) -> Result:
    app = typer.Typer()
    for verb in (pack, unpack):
        app.command()(verb)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def make(directory: Path, name: str = "digits") -> Path:
    def fill(folder: Path) -> Content:
        (folder / "model.onnx").write_bytes(b"weights")
        (folder / "report.json").write_text('{"verdict": "pass"}')
        digest = hashlib.sha256(b"weights").hexdigest()
        tensor = (TensorSpec("x", "float32", (1,)),)
        model = ModelEntry(file="model.onnx", kind=ONNX, digest=digest, inputs=tensor, outputs=tensor)
        files = {"model.onnx": Role.MODEL, "report.json": Role.REPORT}
        return Content(name=name, model=model, runtime="onnxruntime", options={}, verdict="pass", files=files)

    layout.write(directory, fill)
    sign(directory, KeySigner(keys.user_key().private))
    return directory


@pytest.fixture
def artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An artifact, and the working directory beside it."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return make(tmp_path / "made" / "digits")


def test_pack_prints_what_sha256sum_prints(artifact: Path) -> None:
    printed = run("pack", artifact).stdout
    digest = hashlib.sha256(Path("digits-1.mlopt").read_bytes()).hexdigest()
    assert printed == f"{digest}  digits-1.mlopt\n"


def test_pack_prints_one_json_document(artifact: Path) -> None:
    found = json.loads(run("pack", artifact, "-o", "a.mlopt", "--json").stdout)
    digest = hashlib.sha256(Path("a.mlopt").read_bytes()).hexdigest()
    assert found == {"file": "a.mlopt", "name": "digits", "version": 1, "sha256": digest}


def test_an_image_layout_is_written_instead(artifact: Path) -> None:
    printed = run("pack", artifact, "--oci", "image").stdout
    index = json.loads(Path("image/index.json").read_bytes())
    assert printed == f"{index['manifests'][0]['digest'].removeprefix('sha256:')}  image\n"
    assert json.loads(run("pack", artifact, "--oci", "again", "--json").stdout)["oci"] == "again"
    assert not list(Path().glob("*.mlopt"))
    both = run("pack", artifact, "--oci", "third", "-o", "a.mlopt")
    assert both.exit_code == ExitCode.USAGE
    assert "goes without --out" in both.output


def test_nothing_is_packed_that_does_not_verify(artifact: Path) -> None:
    (artifact / "model.onnx").write_bytes(b"other")
    for options in ([], ["--oci", "image"]):
        with pytest.raises(IntegrityError, match="the file was changed after it was signed"):
            run("pack", artifact, *options)
    assert list(Path().iterdir()) == []


def test_a_name_that_leads_elsewhere_needs_a_place(artifact: Path, tmp_path: Path) -> None:
    """The name is signed, but it is not checked by the signer; here it would be a path."""
    outside = make(tmp_path / "outside", name="../evil")
    with pytest.raises(UserError, match="the artifact's name cannot be that of a file"):
        run("pack", outside)
    assert run("pack", outside, "-o", "fine.mlopt").exit_code == ExitCode.OK


@pytest.mark.process
def test_every_machine_gets_the_same_archive(artifact: Path, tmp_path: Path) -> None:
    """Two processes that share nothing but the files' bytes: all else that could find its way in differs."""
    there = tmp_path / "x" / "y" / "renamed"
    there.mkdir(parents=True)
    for name in sorted((path.name for path in artifact.iterdir()), reverse=True):
        shutil.copyfile(artifact / name, there / name)
        (there / name).chmod(0o400)
        os.utime(there / name, (86400, 86400))
    surroundings = (
        (artifact, artifact, 0o022, {"TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "1", "HOME": "/"}),
        (Path(), there, 0o077, {"TZ": "Asia/Kathmandu", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "2"}),
    )  # fmt: skip
    digests = set()
    for number, (folder, directory, umask, environment) in enumerate(surroundings):
        archive = tmp_path / f"{number}.mlopt"
        code = "import os, sys; os.umask(int(sys.argv.pop(1))); from mlopt.cli.app import main; main()"
        command = [sys.executable, "-c", code, str(umask), "pack", str(directory), "-o", str(archive)]
        subprocess.run(command, cwd=folder, env={**os.environ, **environment}, check=True, capture_output=True)
        digests.add(hashlib.sha256(archive.read_bytes()).hexdigest())
    assert len(digests) == 1
