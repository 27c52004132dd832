"""Keyless signing in a CI job, against a sigstore instance on this machine: the public one cannot be reached."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, Self

import pytest

from mlopt.artifact import claims, layout
from mlopt.artifact.sign import sign
from mlopt.artifact.signing import bundle
from mlopt.artifact.verify import verify
from mlopt.core.errors import IntegrityError, OutputError

pytest.importorskip("sigstore", reason="needs the extra keyless")

from local_sigstore import IDENTITY, ISSUER, LocalSigstore, isolate, serving
from sigstore.models import ClientTrustConfig

from mlopt.artifact.signing.keyless import KeylessSigner, KeylessTrust

PUBLIC_INSTANCE = ClientTrustConfig.production
STATEMENT = bundle.statement("digits", {"model.onnx": "0" * 64}, ("model.sig",))


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate(monkeypatch, tmp_path)


def test_without_an_identity_nothing_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    with pytest.raises(OutputError, match="there is no identity to sign with") as caught:
        KeylessSigner()
    assert "id-token: write" in str(caught.value)


def test_a_job_without_the_permission_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.delenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", raising=False)
    with pytest.raises(OutputError, match="the CI system gives no identity to sign with") as caught:
        KeylessSigner()
    assert "ACTIONS_ID_TOKEN_REQUEST_TOKEN" in str(caught.value)


def test_servers_that_cannot_be_reached_are_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    signer = KeylessSigner()
    assert signer.name == "an identity not yet proved"
    with pytest.raises(OutputError, match="sigstore gave no signature") as caught:
        signer.sign(b'{"_type": "https://in-toto.io/Statement/v1"}')
    assert caught.value.problems[0].fix is not None
    assert "sigstore.dev can be reached" in caught.value.problems[0].fix


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalSigstore]:
    """A sigstore on this machine in place of the public one, in a CI job with an identity token."""
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    with serving() as local:
        monkeypatch.setattr(
            ClientTrustConfig, "production", lambda **_: ClientTrustConfig.from_json(local.trust_config())
        )
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{local.url}/token?")
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "request token")
        yield local


def test_what_is_signed_in_a_ci_job_verifies(instance: LocalSigstore) -> None:
    signer = KeylessSigner()
    signed = signer.sign(STATEMENT)
    assert signed.count(b"\n") == 1
    assert signed.endswith(b"\n")
    opened = KeylessTrust(IDENTITY, ISSUER).open(signed, "model.sig")
    assert opened.statement == STATEMENT
    assert opened.signer == signer.name == f"{IDENTITY} ({ISSUER})"


def test_an_artifact_is_signed_and_verified_by_identity(instance: LocalSigstore, tmp_path: Path, fill: Any) -> None:
    artifact = tmp_path / "digits"
    layout.write(artifact, fill())
    sign(artifact, KeylessSigner())
    assert verify(artifact, KeylessTrust(IDENTITY, ISSUER)).signer == f"{IDENTITY} ({ISSUER})"
    (artifact / "report.md").write_text("another report")
    with pytest.raises(IntegrityError, match="the file was changed after it was signed"):
        verify(artifact, KeylessTrust(IDENTITY, ISSUER))


def test_claims_are_made_again_with_another_certificate_of_the_same_identity(
    instance: LocalSigstore, tmp_path: Path
) -> None:
    files = {"model.onnx": "0" * 64}
    stated = claims.statement("digits", "1" * 64, files, "https://example.org/seen", {"seen": True})
    for _ in range(2):
        claims.attach(tmp_path, (stated,), KeylessSigner())
    assert instance.certificates == 2
    (claim,) = claims.read(tmp_path, KeylessTrust(IDENTITY, ISSUER), "digits", "1" * 64, files)
    assert claim.signer == f"{IDENTITY} ({ISSUER})"
    assert claims.read(tmp_path, KeylessTrust(IDENTITY, "https://accounts.google.com"), "digits", "1" * 64, files) == ()


def test_one_certificate_serves_until_it_has_expired(instance: LocalSigstore, monkeypatch: pytest.MonkeyPatch) -> None:
    signer = KeylessSigner()
    assert signer.sign(STATEMENT) != signer.sign(STATEMENT)
    assert instance.certificates == 1
    instance.lifetime = timedelta(hours=1)
    monkeypatch.setattr("sigstore.sign.datetime", _QuarterOfAnHourLater)
    signer.sign(STATEMENT)
    assert instance.certificates == 2


class _QuarterOfAnHourLater(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) + timedelta(minutes=15)


def test_a_certificate_that_has_expired_already_is_one_clear_error(instance: LocalSigstore) -> None:
    instance.lifetime = timedelta(0)
    with pytest.raises(OutputError, match="sigstore gave no signature") as caught:
        KeylessSigner().sign(STATEMENT)
    assert "ExpiredCertificate" in (caught.value.problems[0].got or "")


def test_the_public_instance_does_not_believe_another(instance: LocalSigstore, monkeypatch: pytest.MonkeyPatch) -> None:
    signed = KeylessSigner().sign(STATEMENT)
    monkeypatch.setattr(ClientTrustConfig, "production", PUBLIC_INSTANCE)
    with pytest.raises(IntegrityError, match="the keyless signature is not valid"):
        KeylessTrust(IDENTITY, ISSUER).open(signed, "model.sig")
