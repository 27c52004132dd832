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
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from mlopt.artifact.files import write_atomic
from mlopt.artifact.signing import passphrase
from mlopt.core.errors import OutputError
from mlopt.core.ownership import distrusted

CURVES: dict[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
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


def user_key(passphrase_file: Path | None = None) -> UserKey:
    """Load the user's key; make it on first use, unencrypted. Safe when several processes do so at once."""
    path = user_key_path()
    created = not _exists(path)
    if created:
        if passphrase_file is not None:
            raise _refused(path, "there is no key of your own yet that a passphrase opens", "mlopt keygen --encrypt")
        try:
            create_key(path)
        except FileExistsError:
            created = False
    private = load_private(path, passphrase_file)
    if not _exists(public_path(path)):
        _write(public_path(path), public_pem(private.public_key()), mode=0o644)
    return UserKey(private, path, created)


def has_user_key() -> bool:
    """Whether the user has a key already; raises ``OutputError`` if the system does not let one see."""
    return _exists(user_key_path())


def user_public() -> ec.EllipticCurvePublicKey:
    """Load the public half of the user's key: the key that is trusted where none is named."""
    path = public_path(user_key_path())
    if not _exists(path):
        raise OutputError(
            "there is no key to check the signature with: you have none of your own yet", where=str(path),
            fix="name the signer's: mlopt verify DIR --key PUB",
        )  # fmt: skip
    return load_public(path)


def create_key(path: Path, *, curve: str = "P-256", secret: bytes | None = None, force: bool = False) -> Path:
    """Make a key at ``path`` (mode 0600) and its public half beside it; returns the path of the latter.

    ``secret`` is the passphrase to encrypt it with (PBES2: AES-256). Raises ``FileExistsError`` when ``path`` exists,
    unless ``force``; ``OutputError`` when it cannot be written.
    """
    public = public_path(path)
    if public == path:
        raise OutputError("the ending .pub is for public keys", where=str(path), fix="name the key file FILE.key")
    private = ec.generate_private_key(CURVES[curve])
    encryption = NoEncryption() if secret is None else BestAvailableEncryption(secret)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error
    _write(path, pem, mode=0o600, replace=force)
    _write(public, public_pem(private.public_key()), mode=0o644)
    return public


def load_private(path: Path, passphrase_file: Path | None = None) -> ec.EllipticCurvePrivateKey:
    """Load a private key that only its owner can read; raises ``OutputError`` with the one cause.

    If it is encrypted, its passphrase is looked for as ``mlopt.artifact.signing.passphrase`` says.
    """
    pem = read_pem(path, secret=True)
    encrypted = b"ENCRYPTED" in pem
    if passphrase_file is not None and not encrypted:
        raise _refused(path, "the key is not encrypted, and a passphrase was given", "leave out --passphrase-file")
    secret = passphrase.of_key(path, passphrase_file) if encrypted else None
    try:
        key = load_pem_private_key(pem, secret)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if encrypted:
            raise _refused(path, "the passphrase does not open the key", "give the key's own passphrase") from error
        raise _refused(path, "this is no private key in PEM form", "mlopt keygen -o FILE makes one") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _wrong_type(path, type(key).__name__)
    _check_curve(path, key.curve)
    return key


def load_public(path: Path) -> ec.EllipticCurvePublicKey:
    """Load a public key; raises ``OutputError`` with the one cause."""
    pem = read_pem(path)
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


def is_known_curve(curve: ec.EllipticCurve) -> bool:
    """Whether the signature format knows the curve."""
    return curve.name in {known.name for known in CURVES.values()}


def public_pem(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return the public key as the text of a ``.pub`` file."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def fingerprint(key: ec.EllipticCurvePublicKey) -> str:
    """Return the key's name: the SHA-256 of its ``.pub`` file, in hexadecimal, as ``sha256sum`` prints it."""
    return hashlib.sha256(public_pem(key)).hexdigest()


def read_pem(path: Path, *, what: str = "key", secret: bool = False) -> bytes:
    """Read a small file; raises ``OutputError``, also if others can change it, or read it though it is ``secret``."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise _refused(path, f"the {what} is not a regular file", "check the path")
            if secret and status.st_mode & 0o077:
                mode = status.st_mode & 0o777
                raise _refused(path, f"others can read the private key (mode {mode:04o})", f"chmod 600 {path}")
            if (reason := distrusted(status)) is not None:
                fix = "take it from whom you trust, into a file of your own: `cp` makes one; `chmod go-w` closes it"
                raise _refused(path, f"the {what} decides whom you trust, and {reason}", fix)
            if status.st_size > _MAX_PEM_BYTES:
                raise _refused(path, f"the file is too large for a {what}", "check the path")
            return os.read(descriptor, _MAX_PEM_BYTES)
        finally:
            os.close(descriptor)
    except FileNotFoundError as error:
        make = ", or make one: mlopt keygen -o FILE" if what == "key" else ""
        raise _refused(path, f"the {what} file does not exist", f"check the path{make}") from error
    except OSError as error:
        raise _unreadable(path, what, error) from error


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise _unreadable(path, "key", error) from error


def _write(path: Path, data: bytes, *, mode: int, replace: bool = True) -> None:
    try:
        write_atomic(path, data, mode=mode, replace=replace)
    except FileExistsError:
        raise
    except OSError as error:
        raise _unwritable(path, error) from error


def _check_curve(path: Path, curve: ec.EllipticCurve) -> None:
    if not is_known_curve(curve):
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


def _unreadable(path: Path, what: str, error: OSError) -> OutputError:
    return _refused(path, f"the {what} cannot be read: {error.strerror}", "check its owner and permissions")


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"the key could not be written: {error.strerror}", where=str(path), fix="choose a writable place"
    )
