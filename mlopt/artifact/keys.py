"""Signing keys: NIST P-256 by default (P-384 and P-521 work too), as PKCS #8 and SubjectPublicKeyInfo in PEM.

Everybody has one key of their own, made on first use; what is signed with it verifies without naming a key.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from mlopt.artifact.files import write_atomic
from mlopt.errors import OutputError

CURVES = ("secp256r1", "secp384r1", "secp521r1")
_MAX_PEM_BYTES = 1 << 16


@dataclass(frozen=True)
class UserKey:
    """The user's own key pair, and whether it was made just now."""

    private: ec.EllipticCurvePrivateKey
    path: Path
    created: bool


def user_key_path() -> Path:
    """Return where the user's private key is, or will be; its public half lies beside it (see ``public_path``)."""
    import platformdirs

    config = os.environ.get("MLOPT_CONFIG") or platformdirs.user_config_dir("mlopt")
    return Path(config) / "keys" / "mlopt.key"


def public_path(private: Path) -> Path:
    """Return where the public half of a private key file belongs: beside it, ending in ``.pub``."""
    return private.with_suffix(".pub")


def user_key() -> UserKey:
    """Load the user's key; make it on first use. Safe when several processes do so at once."""
    path = user_key_path()
    created = not _exists(path)
    if created:
        try:
            create_key(path)
        except FileExistsError:
            created = False
    private = load_private(path)
    if not _exists(public_path(path)):
        _write(public_path(path), public_pem(private.public_key()), mode=0o644)
    return UserKey(private, path, created)


def user_public() -> ec.EllipticCurvePublicKey:
    """Load the public half of the user's key: the key that is trusted where none is named."""
    path = public_path(user_key_path())
    if not _exists(path):
        raise OutputError(
            "there is no key to check the signature with: you have none of your own yet", where=str(path),
            fix="name the signer's: mlopt verify DIR --key PUB",
        )  # fmt: skip
    return load_public(path)


def create_key(path: Path, *, force: bool = False) -> Path:
    """Make a P-256 key at ``path`` (mode 0600) and its public half beside it; returns the path of the latter.

    Raises ``FileExistsError`` when ``path`` exists, unless ``force``; ``OutputError`` when it cannot be written.
    """
    public = public_path(path)
    if public == path:
        raise OutputError("the ending .pub is for public keys", where=str(path), fix="name the key file FILE.key")
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error
    _write(path, pem, mode=0o600, replace=force)
    _write(public, public_pem(private.public_key()), mode=0o644)
    return public


def load_private(path: Path) -> ec.EllipticCurvePrivateKey:
    """Load a private key that only its owner can read; raises ``OutputError`` with the one cause."""
    pem = _read(path, secret=True)
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise _refused(
            path, "the private key is encrypted", "openssl pkcs8 -topk8 -nocrypt -in KEY -out PLAIN_KEY"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _refused(path, "this is no private key in PEM form", "mlopt keygen -o FILE makes one") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _wrong_type(path, type(key).__name__)
    _check_curve(path, key.curve)
    return key


def load_public(path: Path) -> ec.EllipticCurvePublicKey:
    """Load a public key; raises ``OutputError`` with the one cause."""
    pem = _read(path, secret=False)
    if b"PRIVATE KEY" in pem:
        raise _refused(path, "this is a private key, and a public one is needed", f"give {public_path(path)}")
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _refused(path, "this is no public key in PEM form", "give the .pub file of the signer") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise _wrong_type(path, type(key).__name__)
    _check_curve(path, key.curve)
    return key


def public_pem(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return the public key as the text of a ``.pub`` file."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def fingerprint(key: ec.EllipticCurvePublicKey) -> str:
    """Return the key's name: the SHA-256 of its ``.pub`` file, in hexadecimal, as ``sha256sum`` prints it."""
    return hashlib.sha256(public_pem(key)).hexdigest()


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise _refused(path, f"the key cannot be read: {error.strerror}", "check its owner and permissions") from error


def _read(path: Path, *, secret: bool) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise _refused(path, "the key is not a regular file", "check the path")
        if secret and status.st_mode & 0o077:
            mode = status.st_mode & 0o777
            raise _refused(path, f"others can read the private key (mode {mode:04o})", f"chmod 600 {path}")
        if status.st_size > _MAX_PEM_BYTES:
            raise _refused(path, "the file is too large for a key", "check the path")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise _refused(
            path, "the key file does not exist", "check the path, or make one: mlopt keygen -o FILE"
        ) from error
    except OSError as error:
        raise _refused(path, f"the key cannot be read: {error.strerror}", "check its owner and permissions") from error


def _write(path: Path, data: bytes, *, mode: int, replace: bool = True) -> None:
    try:
        write_atomic(path, data, mode=mode, replace=replace)
    except FileExistsError:
        raise
    except OSError as error:
        raise _unwritable(path, error) from error


def _check_curve(path: Path, curve: ec.EllipticCurve) -> None:
    if curve.name not in CURVES:
        raise OutputError(
            "the key is on a curve that the signature format does not know", where=str(path), got=curve.name,
            expected=", ".join(CURVES), fix="mlopt keygen -o FILE makes a P-256 key",
        )  # fmt: skip


def _wrong_type(path: Path, type_name: str) -> OutputError:
    return OutputError(
        "the key is of a type that the signature format does not know", where=str(path), got=type_name,
        expected="an elliptic-curve key: P-256, P-384 or P-521", fix="mlopt keygen -o FILE makes a P-256 key",
    )  # fmt: skip


def _refused(path: Path, what: str, fix: str) -> OutputError:
    return OutputError(what, where=str(path), fix=fix)


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"the key could not be written: {error.strerror}", where=str(path), fix="choose a writable place"
    )
