"""Whom a verifier believes: its own kind of bundle, of the one who is named."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from authority import (
    NOW,
    PAYLOAD,
    SIGNER,
    Authority,
    chain,
    new_key,
    signed_by,
    trusting,
    write_pem,
)
from cryptography.hazmat.primitives.asymmetric import ec

from mlopt.artifact.signing import bundle, keys
from mlopt.artifact.signing.base import Trust, UnknownSignerError
from mlopt.artifact.signing.signers import CertificateSigner, KeySigner
from mlopt.artifact.signing.trust import CertificateTrust, KeyTrust, chosen, claimed_signer
from mlopt.core.errors import ExitCode, IntegrityError, UserError


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.make()


def test_only_the_named_identity_is_believed(authority: Authority) -> None:
    release = authority.signer()
    data = signed_by(release.key, chain(release, authority.intermediate))
    with pytest.raises(UnknownSignerError, match=f"signed by somebody else, {SIGNER}") as caught:
        trusting(authority, "somebody@example.com").open(data, "model.sig")
    assert caught.value.exit_code == ExitCode.INTEGRITY
    assert "expected  signed by somebody@example.com" in str(caught.value)
    with pytest.raises(UnknownSignerError, match="signed by somebody else"):
        trusting(authority, "Release").open(data, "model.sig")  # a common name does not count beside other names


def test_each_trust_opens_its_own_kind_of_bundle_only(authority: Authority) -> None:
    release = authority.signer()
    assert isinstance(release.key, ec.EllipticCurvePrivateKey)
    certified = signed_by(release.key, chain(release, authority.intermediate))
    bare = KeySigner(release.key).sign(PAYLOAD)
    value = json.loads(bare)
    value["verificationMaterial"] = {"certificate": {"rawBytes": "AA=="}}
    keyless = json.dumps(value).encode()
    of_key, of_root = KeyTrust(release.key.public_key()), trusting(authority)
    cases: tuple[tuple[Trust, bytes, str, str], ...] = (
        (of_key, certified, "signed with a certificate", "--root PEM"),
        (of_root, bare, "signed with a key that has no certificate", "--key PUB"),
        (of_key, keyless, "signed by an identity, without a key", "--identity WHO and --issuer URL"),
        (of_root, keyless, "signed by an identity, without a key", "--identity WHO and --issuer URL"),
    )
    for trust, data, message, fix in cases:
        with pytest.raises(UnknownSignerError, match=message) as caught:
            trust.open(data, "model.sig")
        assert fix in str(caught.value)


def test_a_bundle_says_whom_it_is_from(authority: Authority) -> None:
    release = authority.signer()
    assert isinstance(release.key, ec.EllipticCurvePrivateKey)
    for signer in (
        KeySigner(release.key),
        CertificateSigner(release.key, chain(release, authority.intermediate)),
    ):
        assert claimed_signer(signer.sign(PAYLOAD), "model.sig") == signer.name


def test_another_key_is_unknown_and_a_signature_of_another_is_not_valid() -> None:
    ours, theirs = KeySigner(new_key()), KeySigner(new_key())
    with pytest.raises(UnknownSignerError, match="signed by an unknown key") as caught:
        KeyTrust(ours.private.public_key()).open(theirs.sign(PAYLOAD), "model.sig")
    assert "--key PUB" in str(caught.value)
    envelope = bundle.unpack(theirs.sign(PAYLOAD), "model.sig")
    for hint in (None, ours.name):
        forged = bundle.pack(bundle.Envelope(PAYLOAD, envelope.signature, hint))
        with pytest.raises(IntegrityError, match="the signature is not valid") as refused:
            KeyTrust(ours.private.public_key()).open(forged, "model.sig")
        assert not isinstance(refused.value, UnknownSignerError)


def test_roots_are_believed_at_the_time_that_is_asked_for(authority: Authority) -> None:
    release = authority.signer()
    data = signed_by(release.key, chain(release, authority.intermediate))
    roots = chain(authority.root)
    assert CertificateTrust(roots, now=NOW + timedelta(days=1)).open(data, "model.sig").signer == SIGNER
    with pytest.raises(IntegrityError):
        CertificateTrust(roots, now=NOW + timedelta(days=365)).open(data, "model.sig")


def test_options_choose_one_trust_and_none_of_them_ones_own_key(authority: Authority, tmp_path: Path) -> None:
    root = write_pem(tmp_path / "root.pem", authority.root)
    public = keys.create_key(tmp_path / "a.key")
    assert chosen(None, None, None, None) is None
    assert isinstance(chosen(public, None, None, None), KeyTrust)
    assert chosen(None, root, SIGNER, None) == CertificateTrust.of(root, SIGNER)


@pytest.mark.parametrize(
    "options",
    [
        (Path("k"), Path("r"), None, None), (Path("k"), None, "me", None), (Path("k"), None, None, "url"),
        (None, Path("r"), None, "url"), (None, None, "me", None), (None, None, None, "url"),
    ],
)  # fmt: skip
def test_options_that_name_two_trusts_or_half_of_one_are_the_users_to_mend(options: Any) -> None:
    with pytest.raises(UserError) as caught:
        chosen(*options)
    assert caught.value.exit_code == ExitCode.USAGE
    assert "--" in str(caught.value)
