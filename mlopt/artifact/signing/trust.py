"""Whom a verifier believes: each trust opens the bundles of the signers in ``signers.py`` that it stands for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from mlopt.artifact.files import shown
from mlopt.artifact.signing import bundle, keys
from mlopt.artifact.signing.base import GET_AGAIN, Opened, Trust, UnknownSignerError
from mlopt.artifact.signing.signers import signature_algorithm
from mlopt.core.errors import IntegrityError, UserError

if TYPE_CHECKING:
    from mlopt.artifact.signing.certificates import Chain


@dataclass(frozen=True)
class KeyTrust:
    """Believes one key."""

    public: ec.EllipticCurvePublicKey

    @classmethod
    def of(cls, path: Path | None) -> Self:
        """Trust the public key in a file; without one the user's own. Raises ``OutputError``."""
        return cls(keys.user_public() if path is None else keys.load_public(path))

    def open(self, data: bytes, where: str) -> Opened:
        """Open a bundle of ``KeySigner``; its hint may be absent."""
        envelope = bundle.unpack(data, where)
        trusted = keys.fingerprint(self.public)
        if envelope.certificates:
            raise _other_kind(envelope, where, f"the trusted key, {trusted}")
        if envelope.key_id not in {None, "", trusted}:
            raise UnknownSignerError(
                f"signed by an unknown key, {shown(envelope.key_id)}", where=where,
                expected=f"the trusted key, {trusted}",
                fix="if you trust the signer, get that public key, and name it with --key PUB",
            )  # fmt: skip
        _check_signature(envelope, self.public, where, f"the key {trusted}")
        return Opened(envelope.payload, trusted)


@dataclass(frozen=True)
class CertificateTrust:
    """Believes whoever has a certificate for signing code under one of these roots, valid now."""

    roots: Chain
    identity: str | None = None
    """The one holder who is believed, exactly as the certificate names it: an e-mail address, URI, host or, in a
    certificate without any of them, common name."""
    now: datetime | None = None
    """When the certificates must be valid, with a time zone; the time of the call if absent."""

    @classmethod
    def of(cls, roots: Path, identity: str | None = None) -> Self:
        """Trust the roots in a PEM file. Raises ``OutputError``."""
        from mlopt.artifact.signing.certificates import load_roots  # X.509 is slow to import, and keys do not need it

        return cls(load_roots(roots), identity)

    def open(self, data: bytes, where: str) -> Opened:
        """Open a bundle of ``CertificateSigner``; its module says what of the certificates is checked, and what not."""
        from mlopt.artifact.signing import certificates

        envelope = bundle.unpack(data, where)
        roots = certificates.names_of(self.roots)
        if envelope.keyless or not envelope.certificates:
            raise _other_kind(envelope, where, f"a certificate under {roots}")
        chain = certificates.parse_chain(envelope.certificates, where)
        name = certificates.signer_name((*chain, *self.roots))
        if not certificates.claims_root(chain, self.roots):
            raise UnknownSignerError(
                f"signed by {name}, under an unknown root", where=where, got=certificates.names_of(chain[-1:]),
                expected=f"a certificate under {roots}",
                fix="if you trust the signer, get that root, and name it with --root PEM",
            )  # fmt: skip
        if self.identity not in {None, *certificates.identities((*chain, *self.roots))}:
            raise UnknownSignerError(
                f"signed by somebody else, {name}", where=where, expected=f"signed by {self.identity}",
                fix="if you trust the signer, name it with --identity",
            )  # fmt: skip
        now = self.now or datetime.now(UTC)
        key = certificates.check_signer(chain, now, where)
        certificates.check_path(chain, self.roots, now, where)
        _check_signature(envelope, key, where, name)
        return Opened(envelope.payload, self.identity or name)


def chosen(key: Path | None, roots: Path | None, identity: str | None, issuer: str | None) -> Trust | None:
    """Return the trust that a verifier's options name; ``None``, for none of them, is the user's own key.

    A key stands alone; roots may go with an identity; an identity without roots is keyless, and needs its issuer.
    Raises ``UserError`` for other combinations, ``OutputError`` when a file cannot be used.
    """
    if key is not None:
        if roots is not None or identity is not None or issuer is not None:
            raise UserError("--key names the signer already", fix="leave out --root, --identity and --issuer, or --key")
        return KeyTrust.of(key)
    if roots is not None:
        if issuer is not None:
            raise UserError("--issuer is for keyless signers, --root for others", fix="leave out one of the two")
        return CertificateTrust.of(roots, identity)
    if identity is None and issuer is None:
        return None
    if identity is None or issuer is None:
        raise UserError(
            "an identity is only as good as who proves it",
            fix="give --identity WHO with --issuer URL (keyless), or with --root PEM (certificates)",
        )
    from mlopt.artifact.signing.keyless import KeylessTrust

    return KeylessTrust(identity, issuer)


def claimed_signer(data: bytes, where: str) -> str:
    """Return whom a bundle says that it is from: nothing of it is checked. Raises ``IntegrityError`` if malformed."""
    envelope = bundle.unpack(data, where)
    if envelope.certificates:
        from mlopt.artifact.signing import certificates

        return certificates.signer_name(certificates.parse_chain(envelope.certificates, where))
    return envelope.key_id or ""


def _other_kind(envelope: bundle.Envelope, where: str, expected: str) -> UnknownSignerError:
    if envelope.keyless:
        what, fix = "signed by an identity, without a key", "--identity WHO and --issuer URL"
    elif envelope.certificates:
        what, fix = "signed with a certificate", "the root of its certificates with --root PEM"
    else:
        what, fix = "signed with a key that has no certificate", "its public key with --key PUB"
    return UnknownSignerError(what, where=where, expected=expected, fix=f"if you trust the signer, name {fix}")


def _check_signature(envelope: bundle.Envelope, key: ec.EllipticCurvePublicKey, where: str, signer: str) -> None:
    try:
        key.verify(envelope.signature, bundle.pae(envelope.payload), signature_algorithm(key))
    except InvalidSignature as error:
        raise IntegrityError(
            "the signature is not valid: it was changed, or made by another key", where=where,
            expected=f"a signature of {signer}", fix=GET_AGAIN,
        ) from error  # fmt: skip
