"""The verbs keygen, sign, verify and digest: what they print and how they exit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from mlopt.artifact import layout
from mlopt.artifact.signing import keys
from mlopt.cli.digest import digest
from mlopt.cli.keygen import keygen
from mlopt.cli.sign import sign
from mlopt.cli.verify import verify
from mlopt.core.errors import ExitCode, IntegrityError, OutputError, UserError


def run(*args: object) -> Result:
    app = typer.Typer()
    for verb in (keygen, sign, verify, digest):
        app.command()(verb)
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def made(tmp_path: Path, fill: Any) -> Callable[..., Path]:
    def make(verdict: str = "pass") -> Path:
        layout.write(tmp_path / "digits", fill(verdict))
        return tmp_path / "digits"

    return make


def test_sign_makes_a_key_on_first_use_and_says_where(made: Callable[..., Path]) -> None:
    first = run("sign", made())
    assert f"made your signing key: {keys.user_key_path()}" in first.stderr
    assert keys.fingerprint(keys.user_public()) in first.stdout
    assert "made your signing key" not in run("sign", made()).stderr


def test_verify_says_who_signed_and_what_the_gates_said(made: Callable[..., Path]) -> None:
    artifact = made()
    run("sign", artifact)
    result = run("verify", artifact, "--require-gate", "pass", "--min-version", 1)
    assert result.exit_code == ExitCode.OK
    assert f"untouched: {artifact} is what was signed (4 files)" in result.stdout
    assert f"signed by  {keys.fingerprint(keys.user_public())}" in result.stdout
    assert "gates      pass\n" in result.stdout


def test_verify_prints_one_json_document(made: Callable[..., Path]) -> None:
    artifact = made()
    run("sign", artifact)
    value = json.loads(run("verify", artifact, "--json").stdout)
    assert value["verdict"] == "pass"
    assert value["version"] == 1
    assert value["signer"] == keys.fingerprint(keys.user_public())
    assert value["files"]["model.onnx"] == hashlib.sha256(b"weights").hexdigest()


@pytest.mark.parametrize(("verdict", "code"), [("fail", ExitCode.GATE_FAILED), ("inconclusive", ExitCode.INCONCLUSIVE)])
def test_a_required_gate_decides_the_exit_code(made: Callable[..., Path], verdict: str, code: ExitCode) -> None:
    artifact = made(verdict)
    with pytest.raises(OutputError, match="not signed"):
        run("sign", artifact)
    run("sign", artifact, "--allow-ungated")
    plain = run("verify", artifact)
    assert plain.exit_code == ExitCode.OK
    assert f"gates      {verdict}, signed all the same (--allow-ungated)" in plain.stdout
    required = run("verify", artifact, "--require-gate", "pass")
    assert required.exit_code == code
    assert f"the gates did not pass: {verdict}" in required.stderr


def test_keygen_sign_and_verify_with_a_named_key(made: Callable[..., Path], tmp_path: Path) -> None:
    artifact = made()
    printed = run("keygen", "-o", tmp_path / "ci.key").stdout
    assert f"public key   {tmp_path / 'ci.pub'}" in printed
    assert keys.fingerprint(keys.load_public(tmp_path / "ci.pub")) in printed
    run("sign", artifact, "--key", tmp_path / "ci.key")
    assert run("verify", artifact, "--key", tmp_path / "ci.pub").exit_code == ExitCode.OK
    assert not keys.user_key_path().exists()
    run("keygen")
    with pytest.raises(IntegrityError, match="signed by an unknown key"):
        run("verify", artifact)


def test_keygen_replaces_a_key_by_force_only(tmp_path: Path) -> None:
    run("keygen", "-o", tmp_path / "ci.key")
    with pytest.raises(OutputError, match="a key is already there") as caught:
        run("keygen", "-o", tmp_path / "ci.key")
    assert "--force" in str(caught.value)
    assert run("keygen", "-o", tmp_path / "ci.key", "--force").exit_code == ExitCode.OK


def test_digest_prints_what_sha256sum_prints(made: Callable[..., Path]) -> None:
    artifact = made()
    lines = run("digest", artifact).stdout.splitlines()
    assert f"{hashlib.sha256(b'weights').hexdigest()}  model.onnx" in lines
    value = json.loads(run("digest", artifact, "--json").stdout)
    assert lines[-1] == f"{value['root']}  (root)"
    run("sign", artifact)
    assert json.loads(run("verify", artifact, "--json").stdout)["root"] == value["root"]


def test_a_directory_that_is_not_there_is_the_users_to_fix(tmp_path: Path) -> None:
    for verb in ("sign", "verify", "digest"):
        with pytest.raises(UserError, match="the artifact does not exist"):
            run(verb, tmp_path / "none")
