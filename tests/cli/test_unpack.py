"""``mlopt unpack``: the artifact comes out if it is what was signed, and nothing does if not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from verb_runs import running

from mlopt.artifact.sign import sign
from mlopt.artifact.signing import keys
from mlopt.artifact.signing.signers import KeySigner
from mlopt.cli.pack import pack
from mlopt.cli.unpack import unpack
from mlopt.core.errors import ExitCode, IntegrityError, OutputError, UserError

run = running(pack, unpack)


@pytest.fixture
def artifact(tmp_path: Path, made: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A signed artifact, and an empty working directory beside it."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    sign(made(), KeySigner(keys.user_key().private))
    return tmp_path / "digits"


def test_unpack_makes_the_artifact_beside_its_archive_and_says_who_signed(artifact: Path) -> None:
    run("pack", artifact)
    printed = run("unpack", "digits-1.mlopt").stdout
    assert "unpacked   digits-1: it is what was signed\n" in printed
    assert "artifact   digits, version 1, gates pass\n" in printed
    assert f"signed by  {keys.fingerprint(keys.user_public())}\n" in printed
    assert (Path("digits-1") / "model.sig").read_bytes() == (artifact / "model.sig").read_bytes()
    found = json.loads(run("unpack", "digits-1.mlopt", "-o", "there", "--json").stdout)
    assert (found["artifact"], found["name"], found["version"]) == ("there", "digits", 1)


def test_unpack_needs_a_place_for_a_name_without_the_ending(artifact: Path) -> None:
    run("pack", artifact, "-o", "digits.zip")
    with pytest.raises(UserError, match=r"digits.zip: its name does not end in .mlopt"):
        run("unpack", "digits.zip")
    assert run("unpack", "digits.zip", "-o", "digits").exit_code == ExitCode.OK


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--min-version", 2], "the artifact is older than what is asked for"),
        (["--name", "faces"], "the artifact is another one than what is asked for"),
        (["--require-predicate", "provenance"], "the trusted signer claims no provenance"),
        (["--key", "other.pub"], "signed by an unknown key"),
    ],
)
def test_unpack_refuses_what_verify_refuses(artifact: Path, options: list[object], message: str) -> None:
    run("pack", artifact)
    keys.create_key(Path("other.key"))
    before = sorted(path.name for path in Path().iterdir())
    with pytest.raises(IntegrityError, match=message):
        run("unpack", "digits-1.mlopt", *options)
    assert {path.name for path in Path().iterdir()} - {*before} == set()


def test_unpack_needs_somebody_to_trust(artifact: Path) -> None:
    run("pack", artifact)
    shutil.rmtree(keys.user_key_path().parent)
    with pytest.raises(OutputError) as caught:
        run("unpack", "digits-1.mlopt")
    assert caught.value.exit_code == ExitCode.USAGE
    assert not Path("digits-1").exists()
