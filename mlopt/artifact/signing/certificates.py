"""Certificates of signers: whether one is for signing code, is valid now, and leads to a root that is pinned.

Paths are checked by ``cryptography.x509.verification`` (signatures, validity, path length, name constraints, unknown
critical extensions); the system's store is never asked. Not checked is whether a certificate was revoked: that would
need the network, so make certificates that are valid for a short time. A signature holds no proof of when it was made,
so the certificates must be valid when it is verified, and not only when it was made.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from mlopt.artifact.files import shown
from mlopt.artifact.signing.bundle import MAX_CERTIFICATES
from mlopt.artifact.signing.keys import is_known_curve, read_pem
from mlopt.core.errors import IntegrityError, OutputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

Chain = tuple[x509.Certificate, ...]
"""A signer's certificate, and then each one's issuer, as far as the signer has them."""

_MALFORMED = (
    ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)  # fmt: skip
"""What the library raises on bytes that are no certificate; found by fuzzing, since it does not say."""
_ORDER = "the signer's certificate first, then each one's issuer"
_E = TypeVar("_E", bound=x509.ExtensionType)
_CODE_SIGNING = ExtendedKeyUsageOID.CODE_SIGNING


def load_chain(path: Path) -> Chain:
    """Load a signer's certificates from a PEM file; raises ``OutputError``."""
    chain = _load(path)
    if len(chain) > MAX_CERTIFICATES:
        raise OutputError(
            "there are too many certificates", where=str(path), got=str(len(chain)),
            expected=f"the signer's, and what leads from it to a root: at most {MAX_CERTIFICATES}",
        )  # fmt: skip
    return chain


def load_roots(path: Path) -> Chain:
    """Load the certificates that somebody trusts from a PEM file; raises ``OutputError``."""
    roots = _load(path)
    for root in roots:
        if not _is_authority(root):
            raise OutputError(
                "this certificate is not of an authority, so nothing can lead to it", where=str(path), got=_title(root),
                expected="CA certificates only", fix="give the root that the signer's certificate was issued under",
            )  # fmt: skip
    return roots


def parse_chain(encoded: Sequence[bytes], where: str) -> Chain:
    """Read the certificates of a bundle (DER); raises ``IntegrityError``."""
    try:
        return tuple(_parsed(x509.load_der_x509_certificate(der)) for der in encoded)
    except _MALFORMED as error:
        raise _malformed(error, where) from error


def encode(chain: Chain) -> tuple[bytes, ...]:
    """Return the certificates as DER."""
    return tuple(certificate.public_bytes(Encoding.DER) for certificate in chain)


def identities(chain: Chain) -> tuple[str, ...]:
    """Return the names that the first certificate gives its holder: e-mail addresses, URIs, hosts; else common names.

    What limits the names that an issuer may certify does not reach common names, so under such issuers none counts.
    """
    names = _extension(chain[0], x509.SubjectAlternativeName)
    if names is not None:
        kinds = (x509.RFC822Name, x509.UniformResourceIdentifier, x509.DNSName)
        return tuple(name.value for name in names if isinstance(name, kinds))
    if any(_extension(issuer, x509.NameConstraints) for issuer in chain[1:]):
        return ()
    return tuple(str(part.value) for part in chain[0].subject.get_attributes_for_oid(NameOID.COMMON_NAME))


def signer_name(chain: Chain) -> str:
    """Return how the holder of the first certificate is called in print: the first name, else the whole subject."""
    return _printable(next(iter(identities(chain)), None) or chain[0].subject.rfc4514_string())


def names_of(roots: Chain) -> str:
    """Return how pinned roots are called in a message."""
    return " or ".join(_title(root) for root in roots[:3]) + (" or another root" if len(roots) > 3 else "")


def claims_root(chain: Chain, roots: Chain) -> bool:
    """Whether the certificates say that they were issued under one of the roots; nothing is checked."""
    known = {root.subject for root in roots}
    return any(certificate.issuer in known or certificate.subject in known for certificate in chain)


def check_signer(chain: Chain, now: datetime, where: str) -> ec.EllipticCurvePublicKey:
    """Return the key of the first certificate if that may sign now; raises ``IntegrityError`` with the one cause."""
    for certificate, issuer in pairwise(chain):
        if certificate.issuer != issuer.subject:
            raise _refused("is followed by another one than its issuer's", certificate, where, _ORDER)
    if len({certificate.subject for certificate in chain}) != len(chain):  # which also keeps the search for paths short
        raise _refused("leads to two of the same name", chain[0], where, _ORDER)
    _check_use(chain[0], where)
    for certificate in chain:
        _check_time(certificate, now, where)
    key = chain[0].public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not is_known_curve(key.curve):
        kind = key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else type(key).__name__
        expected = "an elliptic-curve key: P-256, P-384 or P-521"
        raise _refused(f"has a key that the signature format does not know, {kind}", chain[0], where, expected)
    return key


def check_path(chain: Chain, roots: Chain, now: datetime, where: str) -> None:
    """Raise ``IntegrityError`` unless the certificates lead to one of the roots, that one valid too."""
    issuers = (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)  # the library asks for CA itself
        .require_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_certify)
        .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _may_certify_code_signing)
    )
    builder = PolicyBuilder().store(Store(list(roots))).time(now).max_chain_depth(MAX_CERTIFICATES)
    policies = builder.extension_policies(ca_policy=issuers, ee_policy=ExtensionPolicy.permit_all())
    try:
        policies.build_client_verifier().verify(chain[0], list(chain[1:]))
    except VerificationError as error:
        raise IntegrityError(
            "the certificate does not lead to a trusted root", where=where,
            got=shown(f"{_title(chain[0])}: {error}"), expected=f"a sound chain to {names_of(roots)}",
            fix="ask the signer for the root, or for a better certificate",
        ) from error  # fmt: skip
    except _MALFORMED as error:
        raise _malformed(error, where) from error


def _load(path: Path) -> Chain:
    pem = read_pem(path, what="certificate")
    try:
        return tuple(map(_parsed, x509.load_pem_x509_certificates(pem)))
    except _MALFORMED as error:
        raise OutputError(
            "this is no certificate in PEM form",
            where=str(path),
            fix="give a file of -----BEGIN CERTIFICATE----- blocks",
        ) from error


def _check_use(certificate: x509.Certificate, where: str) -> None:
    if _is_authority(certificate):
        raise _refused("is an authority's, not a signer's", certificate, where, _ORDER)
    usage = _extension(certificate, x509.KeyUsage)
    if usage is None or not usage.digital_signature:
        raise _refused("is not for digital signatures", certificate, where, "the key usage digitalSignature")
    uses = _extension(certificate, x509.ExtendedKeyUsage)
    if uses is None or _CODE_SIGNING not in uses:
        raise _refused("is not for signing code", certificate, where, "the extended key usage codeSigning")


def _check_time(certificate: x509.Certificate, now: datetime, where: str) -> None:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not start <= now <= end:
        what = "is not valid yet" if now < start else "has expired"
        raise _refused(
            what, certificate, where, f"valid at {now:%Y-%m-%d %H:%M} UTC", f"{start:%Y-%m-%d} to {end:%Y-%m-%d}"
        )


def _may_certify(_policy: Policy, _issuer: x509.Certificate, usage: x509.KeyUsage) -> None:
    if not usage.key_cert_sign:
        raise ValueError("an issuer's certificate lacks the key usage keyCertSign")


def _may_certify_code_signing(_policy: Policy, _issuer: x509.Certificate, uses: x509.ExtendedKeyUsage | None) -> None:
    if uses is not None and not {_CODE_SIGNING, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(uses):
        raise ValueError("an issuer's certificate is limited to other uses than code signing")


def _is_authority(certificate: x509.Certificate) -> bool:
    constraints = _extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def _extension(certificate: x509.Certificate, kind: type[_E]) -> _E | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _parsed(certificate: x509.Certificate) -> x509.Certificate:
    """Return the certificate after reading the parts that the library reads only when they are asked for."""
    _ = certificate.extensions, certificate.public_key(), certificate.subject, certificate.issuer
    return certificate


def _malformed(error: Exception, where: str) -> IntegrityError:
    return IntegrityError("a certificate is malformed", where=where, got=shown(str(error)))


def _refused(what: str, certificate: x509.Certificate, where: str, expected: str, got: str = "") -> IntegrityError:
    return IntegrityError(
        f"the certificate {what}", where=where, got=", ".join(filter(None, [_title(certificate), got])),
        expected=expected, fix="the signer needs another certificate, and signs again",
    )  # fmt: skip


def _title(certificate: x509.Certificate) -> str:
    return _printable(certificate.subject.rfc4514_string())


def _printable(name: str) -> str:
    return name if name.isprintable() and len(name) <= 200 else shown(name)
