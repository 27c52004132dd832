"""Tokens and logins: from a file of one's own, else the environment, never an argument, which every process sees.

The variable is taken out of the environment when it is read, so no child process inherits it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from mlopt.core.errors import OutputError
from mlopt.core.ownership import distrusted

ADMIN_TOKEN, REGISTRY_LOGIN = "MLOPT_ADMIN_TOKEN", "MLOPT_REGISTRY_LOGIN"
_MOST = 4096


def credential(file: Path | None, variable: str) -> str | None:
    """Return what the file has in its one line, else what the variable has; None without either.

    Raises ``OutputError`` when others can read or change the file, or it is empty or more than a line.
    """
    given = os.environ.pop(variable, None)
    if file is None:
        return _line(given, variable) if given is not None else None
    try:
        with file.open("rb") as stream:
            status, text = os.fstat(stream.fileno()), stream.read(_MOST)
    except OSError as error:
        raise OutputError(f"the file with the credential cannot be read: {error.strerror}", where=str(file)) from error
    if stat.S_ISREG(status.st_mode) and status.st_mode & 0o077:
        raise OutputError("others can read the credential", where=str(file), fix=f"chmod 600 {file}")
    if stat.S_ISREG(status.st_mode) and (reason := distrusted(status)) is not None:
        raise OutputError(
            f"the credential is not yours alone: {reason}", where=str(file), fix="make a file of your own"
        )
    return _line(text.decode("utf-8", errors="replace"), str(file))


def _line(text: str, where: str) -> str:
    found = text.strip()
    if not found or not found.isprintable() or not found.isascii():
        raise OutputError("this is no credential", where=where, expected="one line of plain characters")
    return found
