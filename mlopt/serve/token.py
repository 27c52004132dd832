"""The token that administers a server: from a file or the environment, compared in constant time."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from pathlib import Path

from mlopt.core.errors import UserError

VARIABLE = "MLOPT_ADMIN_TOKEN"
_SHORTEST = 16
_MAKE = "make one: python -c 'import secrets; print(secrets.token_urlsafe())'"


def token_from(file: Path | None, environment: Mapping[str, str]) -> str | None:
    """Return the token, that of the file before that of the environment; None if there is none.

    Raises ``UserError`` for a file that cannot be read, and for a token that could be guessed.
    """
    if file is None:
        found = environment.get(VARIABLE)
        where = VARIABLE
    else:
        where = str(file)
        try:
            found = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError("the token cannot be read", where=where, got=str(error)) from error
    if found is None:
        return None
    if len(found) < _SHORTEST or not found.isascii() or not found.isprintable():
        raise UserError(
            "this is no token that is hard to guess", where=where, got=f"{len(found)} characters",
            expected=f"at least {_SHORTEST} characters of ASCII", fix=_MAKE,
        )  # fmt: skip
    return found


def is_bearer(header: str | None, token: str) -> bool:
    """Whether an ``Authorization`` header holds the token."""
    scheme, _, given = (header or "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())
