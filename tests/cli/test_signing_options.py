"""The options of signers and verifiers: which go together, and what each makes of an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from authority import SIGNER, Authority, write_pem
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mlopt.artifact import layout
from mlopt.artifact.signing import keys
from mlopt.artifact.signing.signers import CertificateSigner, KeySigner
from mlopt.artifact.signing.trust import CertificateTrust, KeyTrust
from mlopt.cli import signing_options
from mlopt.cli.app import run
from mlopt.core.errors import ExitCode, UserError

A, B, C = Path("a"), Path("b"), Path("c")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with ``a.key``, its certificates ``chain.pem``, and the root ``root.pem``."""
    authority = Authority.make()
    release = authority.signer()
    pem = release.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "a.key").write_bytes(pem)
    (tmp_path / "a.key").chmod(0o600)
    write_pem(tmp_path / "chain.pem", release, authority.intermediate)
    write_pem(tmp_path / "root.pem", authority.root)
    return tmp_path


def test_a_key_signs_bare_and_with_its_certificates(files: Path) -> None:
    bare = signing_options.signer(files / "a.key", None, None, keyless=False)
    assert isinstance(bare, KeySigner)
    certified = signing_options.signer(files / "a.key", None, files / "chain.pem", keyless=False)
    assert isinstance(certified, CertificateSigner)
    assert certified.name == SIGNER


def test_without_a_key_it_is_ones_own_and_the_first_time_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    first = signing_options.signer(None, None, None, keyless=False)
    assert f"made your signing key: {keys.user_key_path()}" in capsys.readouterr().err.replace("\n", "")
    assert first.name == signing_options.signer(None, None, None, keyless=False).name
    assert capsys.readouterr().err == ""


def test_trust_is_in_a_key_or_in_roots_or_in_ones_own_key(files: Path) -> None:
    public = keys.create_key(files / "b.key")
    assert isinstance(signing_options.trust(public, None, None, None), KeyTrust)
    assert signing_options.trust(None, files / "root.pem", SIGNER, None) == CertificateTrust.of(
        files / "root.pem", SIGNER
    )
    assert signing_options.trust(None, None, None, None) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((A, None, None), "--keyless signs without a key"),
        ((None, A, None), "--keyless signs without a key"),
        ((None, None, A), "--keyless signs without a key"),
    ],
)
def test_signing_options_that_contradict_are_refused(
    given: tuple[Path | None, Path | None, Path | None], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        signing_options.signer(*given, keyless=True)
    assert "leave out --key, --passphrase-file and --chain" in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((A, B, None, None), "--key names the signer already"),
        ((A, None, "me", None), "--key names the signer already"),
        ((A, None, None, "url"), "--key names the signer already"),
        ((None, B, None, "url"), "--issuer is for keyless signers, --root for others"),
        ((None, None, "me", None), "an identity is only as good as who proves it"),
        ((None, None, None, "url"), "an identity is only as good as who proves it"),
    ],
)
def test_verifying_options_that_contradict_are_refused(
    given: tuple[Path | None, Path | None, str | None, str | None], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        signing_options.trust(*given)


def test_certificates_on_the_command_line(files: Path, fill: Any, capsys: pytest.CaptureFixture[str]) -> None:
    artifact = str(files / "digits")
    layout.write(files / "digits", fill())
    assert run(["sign", artifact, "--key", str(files / "a.key"), "--chain", str(files / "chain.pem")]) == ExitCode.OK
    assert capsys.readouterr().out.endswith(f"\nsigner  {SIGNER}\n")
    root = ["--root", str(files / "root.pem")]
    assert run(["verify", artifact, *root]) == ExitCode.OK
    assert run(["verify", artifact, *root, "--identity", SIGNER]) == ExitCode.OK
    assert f"signed by  {SIGNER}\n" in capsys.readouterr().out
    assert run(["verify", artifact, *root, "--identity", "somebody@example.com"]) == ExitCode.INTEGRITY
    assert f"signed by somebody else, {SIGNER}" in capsys.readouterr().err.replace("\n", " ")
    assert run(["verify", artifact, *root, "--issuer", "https://b.example"]) == ExitCode.USAGE


def test_a_certificate_satisfies_the_gate_only_under_the_root_that_is_named(
    files: Path, fill: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    layout.write(files / "digits", fill())
    signing = ["--key", str(files / "a.key"), "--chain", str(files / "chain.pem")]
    assert run(["sign", str(files / "digits"), *signing]) == ExitCode.OK
    other = write_pem(files / "other.pem", Authority.make().root)
    (files / "digits" / "model.onnx").write_bytes(b"changed")
    for root, message in ((other, "does not lead to a trusted root"), (files / "root.pem", "the file was changed")):
        assert run(["gate", str(files / "digits"), "--root", str(root)]) == ExitCode.INTEGRITY
        assert message in capsys.readouterr().err.replace("\n", " ")


def test_whom_to_believe_can_be_told_to_another_verb() -> None:
    assert signing_options.trusted_words(A, None, None, None) == ("--key", "a")
    assert signing_options.trusted_words(None, B, "me", None) == ("--root", "b", "--identity", "me")
    assert signing_options.trusted_words(None, None, None, None) == ()
