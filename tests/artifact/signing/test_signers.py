"""Who signs: a key or a certified key, of any curve, and never with a certificate that would not verify."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta, tzinfo

import pytest
from authority import NOW, SIGNER, Authority, Certified, new_key
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from mlopt.artifact.signing import certificates, keys, signers
from mlopt.artifact.signing.signers import CertificateSigner, KeySigner, signature_algorithm
from mlopt.artifact.signing.trust import CertificateTrust, KeyTrust
from mlopt.core.errors import OutputError

PAYLOAD = b'{"a": "statement"}'


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.make()


def chain(*certified: Certified) -> certificates.Chain:
    return tuple(one.certificate for one in certified)


def trusting(authority: Authority, identity: str | None = None) -> CertificateTrust:
    return CertificateTrust(chain(authority.root), identity)


@pytest.mark.parametrize("curve", keys.CURVES.values(), ids=list(keys.CURVES))
def test_a_certified_signature_opens(authority: Authority, curve: ec.EllipticCurve) -> None:
    release = authority.signer(curve)
    signer = CertificateSigner(release.key, chain(release, authority.intermediate))
    assert signer.name == SIGNER
    opened = trusting(authority, SIGNER).open(signer.sign(PAYLOAD), "model.sig")
    assert (opened.statement, opened.signer) == (PAYLOAD, signer.name)


def test_the_bundle_holds_the_chain_and_no_hint(authority: Authority) -> None:
    release = authority.signer()
    given = chain(release, authority.intermediate)
    material = json.loads(CertificateSigner(release.key, given).sign(PAYLOAD))["verificationMaterial"]
    assert sorted(material) == ["tlogEntries", "x509CertificateChain"]
    raw = [base64.b64decode(one["rawBytes"]) for one in material["x509CertificateChain"]["certificates"]]
    assert raw == [one.public_bytes(Encoding.DER) for one in given]


def test_a_certificate_of_another_key_is_not_signed_with(authority: Authority) -> None:
    with pytest.raises(OutputError, match="the certificate is of another key") as caught:
        CertificateSigner(new_key(), chain(authority.signer(), authority.intermediate))
    assert "belong together" in str(caught.value)


@pytest.mark.parametrize("curve", keys.CURVES.values(), ids=list(keys.CURVES))
def test_a_keys_bundle_opens_with_its_public_half_and_names_it(curve: ec.EllipticCurve) -> None:
    signer = KeySigner(new_key(curve))
    opened = KeyTrust(signer.private.public_key()).open(signer.sign(PAYLOAD), "model.sig")
    assert (opened.statement, opened.signer) == (PAYLOAD, signer.name)
    assert signer.name == keys.fingerprint(signer.private.public_key())


@pytest.mark.parametrize(
    ("curve", "bits"), list(zip(keys.CURVES.values(), (256, 384, 512), strict=True)), ids=list(keys.CURVES)
)
def test_a_larger_curve_signs_a_longer_hash(curve: ec.EllipticCurve, bits: int) -> None:
    assert 8 * signature_algorithm(new_key(curve)).algorithm.digest_size == bits


def test_a_certificate_that_expired_meanwhile_signs_nothing_more(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = authority.signer()
    signer = CertificateSigner(release.key, chain(release, authority.intermediate))

    class Later(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return NOW + timedelta(days=365)

    monkeypatch.setattr(signers, "datetime", Later)
    with pytest.raises(OutputError, match=r"not valid|expired"):
        signer.sign(PAYLOAD)
