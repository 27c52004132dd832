"""What it is to trust somebody: to open the bundles that they signed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mlopt.core.errors import IntegrityError

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
