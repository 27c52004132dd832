"""Where the passphrase of an encrypted key comes from: a file, the environment or the terminal; never an argument.

Arguments are visible to every process of a machine. The variable is taken out of the environment when it is read, so no
child process inherits it; the system still shows to the same user what this process was started with, so a file or the
terminal is better. No message holds a passphrase.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from mlopt.core.errors import OutputError
from mlopt.core.ownership import distrusted

VARIABLE = "MLOPT_KEY_PASSPHRASE"
_OWN = "copy it into a file of your own: `install -m 600 FILE mine`"
_MAX_BYTES = 1023  # what PKCS #8 encryption takes


def of_key(key: Path, file: Path | None) -> bytes:
    """Return the passphrase of an existing key: that in ``file``, else in the environment, else what a person types.

    Raises ``OutputError`` when none of them has one.
    """
    given = _given(file)
    if given is not None:
        return given
    return _ask(key, f"Passphrase of {key}: ", "the private key is encrypted")


def for_new_key(key: Path, file: Path | None) -> bytes:
    """Return the passphrase that a new key gets; a person types it twice. Raises ``OutputError``."""
    given = _given(file)
    if given is not None:
        return given
    missing = "the new key needs a passphrase"
    first = _ask(key, f"Passphrase for {key}: ", missing)
    if _ask(key, "The same again: ", missing) != first:
        raise OutputError("the two passphrases differ: no key was made", where=str(key), fix="try again")
    return first


def forget() -> None:
    """Take the passphrase out of the environment: nothing that follows needs it, and no child process gets it."""
    os.environ.pop(VARIABLE, None)


def _given(file: Path | None) -> bytes | None:
    variable = os.environ.pop(VARIABLE, None)
    if file is not None:
        return _read(file)
    if variable is None:
        return None
    return _checked(os.fsencode(variable), VARIABLE)


def _read(file: Path) -> bytes:
    """Read the file as it is, but for one newline at its end."""
    try:
        with file.open("rb") as stream:
            status = os.fstat(stream.fileno())
            if status.st_mode & 0o077 and stat.S_ISREG(status.st_mode):
                raise OutputError(
                    f"others can read the passphrase (mode {status.st_mode & 0o777:04o})", where=str(file),
                    fix=f"chmod 600 {file}",
                )  # fmt: skip
            if (reason := distrusted(status)) is not None and stat.S_ISREG(status.st_mode):
                raise OutputError(f"the passphrase file is not yours alone: {reason}", where=str(file), fix=_OWN)
            data = stream.read(_MAX_BYTES + 2)
    except OSError as error:
        raise OutputError(
            f"the passphrase cannot be read: {error.strerror}", where=str(file), fix="check the path, and its owner"
        ) from error
    return _checked(data.removesuffix(b"\n").removesuffix(b"\r"), str(file))


def _ask(key: Path, question: str, missing: str) -> bytes:
    import getpass

    ways = f"give its passphrase: --passphrase-file FILE, or {VARIABLE} in the environment, or type it at a terminal"
    if not os.isatty(0):
        raise OutputError(missing, where=str(key), got="no passphrase, and no terminal to ask for it", fix=ways)
    try:
        typed = getpass.getpass(question)
    except EOFError as error:
        raise OutputError(missing, where=str(key), got="no passphrase: nothing was typed", fix=ways) from error
    return _checked(os.fsencode(typed), "the terminal")


def _checked(passphrase: bytes, where: str) -> bytes:
    if not passphrase:
        raise OutputError("the passphrase is empty", where=where, fix="give the passphrase of the key")
    if len(passphrase) > _MAX_BYTES:
        raise OutputError("the passphrase is too long", where=where, expected=f"at most {_MAX_BYTES} bytes")
    return passphrase
