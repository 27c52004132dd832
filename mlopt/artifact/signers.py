"""Who signs: each signer turns a statement into a bundle that its counterpart in ``trust.py`` opens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from mlopt.artifact import bundle
from mlopt.artifact.keys import fingerprint

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
        signature = self.private.sign(bundle.pae(statement), signature_algorithm(self.private))
        return bundle.pack(bundle.Envelope(statement, signature, self.name))


def signature_algorithm(key: ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey) -> ec.ECDSA:
    """Return ECDSA with the hash that the format pairs with the key's curve."""
    return ec.ECDSA(_HASHES[key.curve.name])
