"""Who signs: each signer turns a statement into a bundle that its counterpart in ``trust.py`` opens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from mlopt.artifact.signing import bundle
from mlopt.artifact.signing.keys import fingerprint
from mlopt.core.errors import IntegrityError, OutputError

if TYPE_CHECKING:
    from mlopt.artifact.signing.certificates import Chain

_HASHES = {"secp256r1": hashes.SHA256(), "secp384r1": hashes.SHA384(), "secp521r1": hashes.SHA512()}


class Signer(Protocol):
    """Somebody who can sign statements."""

    @property
    def name(self) -> str:
        """Who it is, as ``mlopt verify`` prints it."""
        ...

    def sign(self, statement: bytes) -> bytes:
        """Return the sigstore bundle over an in-toto statement, as one line of JSON."""
        ...


@dataclass(frozen=True)
class KeySigner:
    """Signs with a private key; a verifier needs its public half."""

    private: ec.EllipticCurvePrivateKey

    @property
    def name(self) -> str:
        """The key's fingerprint."""
        return fingerprint(self.private.public_key())

    def sign(self, statement: bytes) -> bytes:
        """Return the bundle, with the key's fingerprint as the hint."""
        return bundle.pack(bundle.Envelope(statement, _signature(self.private, statement), self.name))


@dataclass(frozen=True)
class CertificateSigner:
    """Signs with a private key that is certified; a verifier needs the root that the certificates lead to.

    Raises ``OutputError`` if the first certificate is not of this key, or may not sign now.
    """

    private: ec.EllipticCurvePrivateKey
    chain: Chain

    def __post_init__(self) -> None:
        self._check()

    @property
    def name(self) -> str:
        """The identity in the certificate."""
        from mlopt.artifact.signing.certificates import signer_name

        return signer_name(self.chain)

    def sign(self, statement: bytes) -> bytes:
        """Return the bundle, with the certificates; they may have expired since this signer was made."""
        from mlopt.artifact.signing.certificates import encode

        self._check()
        signature = _signature(self.private, statement)
        return bundle.pack(bundle.Envelope(statement, signature, certificates=encode(self.chain)))

    def _check(self) -> None:
        from mlopt.artifact.signing.certificates import check_signer

        try:
            key = check_signer(self.chain, datetime.now(UTC), "the certificate to sign with")
        except IntegrityError as error:
            raise OutputError.of(error.problems) from error
        if key != self.private.public_key():
            raise OutputError(
                "the certificate is of another key", where="the certificate to sign with",
                got=f"key {fingerprint(key)}", expected=f"key {fingerprint(self.private.public_key())}",
                fix="give the key and the certificate that belong together; the signer's certificate comes first",
            )  # fmt: skip


def _signature(private: ec.EllipticCurvePrivateKey, statement: bytes) -> bytes:
    return private.sign(bundle.pae(statement), signature_algorithm(private))


def signature_algorithm(key: ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey) -> ec.ECDSA:
    """Return ECDSA with the hash that the format pairs with the key's curve."""
    return ec.ECDSA(_HASHES[key.curve.name])
