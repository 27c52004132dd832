"""Whom a verifier believes: each trust opens the bundles of the signers in ``signers.py`` that it stands for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from mlopt.artifact import bundle, keys
from mlopt.artifact.files import shown
from mlopt.artifact.signers import signature_algorithm
from mlopt.errors import IntegrityError

GET_AGAIN = "get the artifact again from its maker; sign it anew only if the change is yours"


class UnknownSignerError(IntegrityError):
    """The bundle does not claim to come from whom is trusted."""


@dataclass(frozen=True)
class Opened:
    """A statement, and who signed it."""

    statement: bytes
    signer: str
    """As ``Signer.name``."""


class Trust(Protocol):
    """Somebody who is believed."""

    def open(self, data: bytes, where: str) -> Opened:
        """Return the statement in a bundle if its signature is that of whom is trusted.

        Raises ``UnknownSignerError`` if the bundle says that somebody else signed it, and ``IntegrityError`` if it is
        malformed or the signature is not valid.
        """
        ...


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
        if envelope.key_id not in {None, "", trusted}:
            raise UnknownSignerError(
                f"signed by an unknown key, {shown(envelope.key_id)}", where=where,
                expected=f"the trusted key, {trusted}",
                fix="if you trust the signer, get that public key, and name it with --key PUB",
            )  # fmt: skip
        try:
            self.public.verify(envelope.signature, bundle.pae(envelope.payload), signature_algorithm(self.public))
        except InvalidSignature as error:
            raise IntegrityError(
                "the signature is not valid: it was changed, or made by another key", where=where,
                expected=f"a signature of the key {trusted}", fix=GET_AGAIN,
            ) from error  # fmt: skip
        return Opened(envelope.payload, trusted)
