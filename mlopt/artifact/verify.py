"""Verifying an artifact: is it exactly what was signed, by a key that is trusted, and what did its gates say?

Nothing in the directory is believed before the signature over it holds. No model is opened, and no library that could
open one is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from mlopt.artifact import bundle, keys
from mlopt.artifact.files import is_safe, list_files, open_regular, read_capped, reading, sha256, shown
from mlopt.artifact.layout import CLAIMS, MANIFEST, SIGNATURE, UNSIGNED, Manifest, check_manifest, read_manifest
from mlopt.artifact.sign import signature_algorithm
from mlopt.errors import IntegrityError, Problem

MAX_SIGNATURE_BYTES = 4 << 20
_MAX_PROBLEMS = 20
_GET_AGAIN = "get the artifact again from its maker; sign it anew only if the change is yours"


@dataclass(frozen=True)
class Verified:
    """A directory that is exactly what the holder of ``key_id`` signed, at the time of the check."""

    directory: Path
    manifest: Manifest
    key_id: str
    """The fingerprint of the key, see ``mlopt.artifact.keys.fingerprint``."""
    root: str
    files: Mapping[str, str]
    """SHA-256 in hexadecimal of every signed file, by name."""


def verify(
    directory: Path,
    public_key: Path | ec.EllipticCurvePublicKey | None = None,
    *,
    min_version: int | None = None,
) -> Verified:
    """Check everything; raises ``IntegrityError`` naming the first kind of thing that is wrong, with all its files.

    Without ``public_key`` the user's own key must have signed. ``min_version`` refuses an older artifact that was
    put in the place of a newer one. Raises ``UserError`` when there is no such directory or no key to check with.
    """
    with reading(directory):
        key = _trusted_key(public_key)
        signed = _signed_files(directory, key)
        manifest = read_manifest(directory)
        check_manifest(directory, manifest, set(signed))
    if min_version is not None and manifest.version < min_version:
        raise IntegrityError(
            "the artifact is older than what is asked for", where=str(directory / MANIFEST),
            got=f"version {manifest.version}", expected=f"version {min_version} or newer", fix="get the newer one",
        )  # fmt: skip
    return Verified(directory, manifest, keys.fingerprint(key), bundle.root_digest(signed), signed)


def _signed_files(directory: Path, key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    """Return the signed digests by name, when the signature holds and these are the files that are there."""
    names = set(list_files(directory))
    if SIGNATURE not in names:
        raise IntegrityError("the artifact is not signed", where=str(directory), fix=f"mlopt sign {directory}")
    where = str(directory / SIGNATURE)
    envelope = bundle.unpack(read_capped(directory, SIGNATURE, MAX_SIGNATURE_BYTES), where)
    _check_signature(envelope, key, directory)
    signed = bundle.signed_files(envelope.payload, where)
    if CLAIMS in names:
        open_regular(directory, CLAIMS).close()
    _check_files(directory, signed, names - UNSIGNED)
    return signed


def _trusted_key(given: Path | ec.EllipticCurvePublicKey | None) -> ec.EllipticCurvePublicKey:
    if isinstance(given, ec.EllipticCurvePublicKey):
        return given
    if given is not None:
        return keys.load_public(given)
    return keys.user_public()


def _check_signature(envelope: bundle.Envelope, key: ec.EllipticCurvePublicKey, directory: Path) -> None:
    trusted = keys.fingerprint(key)
    if envelope.key_id not in {None, "", trusted}:
        raise IntegrityError(
            f"signed by an unknown key, {shown(envelope.key_id)}", where=str(directory / SIGNATURE),
            expected=f"the trusted key, {trusted}",
            fix=f"if you trust the signer, get that public key: mlopt verify {directory} --key PUB",
        )  # fmt: skip
    try:
        key.verify(envelope.signature, bundle.pae(envelope.payload), signature_algorithm(key))
    except InvalidSignature as error:
        raise IntegrityError(
            "the signature is not valid: it was changed, or made by another key", where=str(directory / SIGNATURE),
            expected=f"a signature of the key {trusted}", fix=_GET_AGAIN,
        ) from error  # fmt: skip


def _check_files(directory: Path, signed: Mapping[str, str], found: set[str]) -> None:
    removed = "the file was removed: it is signed, but not there"
    added = "the file was added: it is not signed"
    problems = [Problem(removed, _place(directory, name), fix=_GET_AGAIN) for name in sorted(set(signed) - found)]
    problems += [
        Problem(added, _place(directory, name), fix=f"remove it, or {_GET_AGAIN}")
        for name in sorted(found - set(signed))
    ]
    for name in sorted(found & set(signed)):
        got = sha256(directory, name)
        if got != signed[name]:
            what = "the file was changed after it was signed"
            problems.append(
                Problem(what, _place(directory, name), f"sha256 {got}", f"sha256 {signed[name]}", _GET_AGAIN)
            )
    if problems:
        raise IntegrityError.of(problems[:_MAX_PROBLEMS])


def _place(directory: Path, name: str) -> str:
    return str(directory / name) if is_safe(name) else f"{directory}: {shown(name)}"
