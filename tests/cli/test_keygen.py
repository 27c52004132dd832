"""``mlopt keygen``: the key that it makes, what it prints, and what it does not replace."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from verb_runs import running

from mlopt.artifact.signing import keys, passphrase
from mlopt.cli.keygen import keygen
from mlopt.cli.sign import sign
from mlopt.cli.verify import verify
from mlopt.core.errors import ExitCode, IntegrityError, OutputError, UserError

run = running(keygen, sign, verify)
SECRET = "correct-Ooph4ahz"


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests at a terminal is not asked."""
    monkeypatch.setattr("os.isatty", lambda _descriptor: False)


def private_file(path: Path) -> Path:
    path.write_text(SECRET)
    path.chmod(0o600)
    return path


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


@pytest.mark.parametrize("curve", keys.CURVES)
def test_keygen_encrypts_with_a_file(tmp_path: Path, curve: str) -> None:
    file = private_file(tmp_path / "p")
    printed = run("keygen", "-o", tmp_path / "b.key", "--encrypt", "--passphrase-file", file, "--curve", curve).stdout
    assert f"private key  {tmp_path / 'b.key'}  (encrypted)" in printed
    assert keys.load_private(tmp_path / "b.key", file).curve.name == keys.CURVES[curve].name


def test_keygen_encrypts_with_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(passphrase.VARIABLE, SECRET)
    run("keygen", "-o", tmp_path / "b.key", "--encrypt")
    assert passphrase.VARIABLE not in os.environ
    assert keys.load_private(tmp_path / "b.key", private_file(tmp_path / "p"))


def test_keygen_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="the new key needs a passphrase") as caught:
        run("keygen", "-o", tmp_path / "b.key", "--encrypt")
    assert "--passphrase-file FILE" in str(caught.value)
    with pytest.raises(UserError, match="--passphrase-file goes with --encrypt"):
        run("keygen", "-o", tmp_path / "b.key", "--passphrase-file", tmp_path / "p")
    assert not (tmp_path / "b.key").exists()
