"""Verifying an artifact: is it exactly what was signed, by a key that is trusted, and what did its gates say?

Nothing in the directory is believed before the signature over it holds. No model is opened, and no library that could
open one is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlopt.artifact import bundle
from mlopt.artifact.files import is_safe, list_files, open_regular, read_capped, reading, sha256, shown
from mlopt.artifact.layout import CLAIMS, MANIFEST, SIGNATURE, UNSIGNED, Manifest, check_manifest, read_manifest
from mlopt.artifact.trust import GET_AGAIN, KeyTrust, Trust
from mlopt.errors import IntegrityError, Problem

MAX_SIGNATURE_BYTES = 4 << 20
_MAX_PROBLEMS = 20


@dataclass(frozen=True)
class Verified:
    """A directory that is exactly what ``signer`` signed, at the time of the check."""

    directory: Path
    manifest: Manifest
    signer: str
    """As ``Signer.name``: of a key its fingerprint, see ``mlopt.artifact.keys.fingerprint``."""
    root: str
    files: Mapping[str, str]
    """SHA-256 in hexadecimal of every signed file, by name."""


def verify(
    directory: Path,
    trust: Trust | None = None,
    *,
    min_version: int | None = None,
) -> Verified:
    """Check everything; raises ``IntegrityError`` naming the first kind of thing that is wrong, with all its files.

    Without ``trust`` the user's own key must have signed. ``min_version`` refuses an older artifact that was
    put in the place of a newer one. Raises ``UserError`` when there is no such directory or no key to check with.
    """
    with reading(directory):
        signer, signed = _signed_files(directory, trust or KeyTrust.of(None))
        manifest = read_manifest(directory)
        check_manifest(directory, manifest, set(signed))
    if min_version is not None and manifest.version < min_version:
        raise IntegrityError(
            "the artifact is older than what is asked for", where=str(directory / MANIFEST),
            got=f"version {manifest.version}", expected=f"version {min_version} or newer", fix="get the newer one",
        )  # fmt: skip
    return Verified(directory, manifest, signer, bundle.root_digest(signed), signed)


def _signed_files(directory: Path, trust: Trust) -> tuple[str, dict[str, str]]:
    """Return the signer, and the signed digests by name, if the signature holds and these are the files there."""
    names = set(list_files(directory))
    if SIGNATURE not in names:
        raise IntegrityError("the artifact is not signed", where=str(directory), fix=f"mlopt sign {directory}")
    where = str(directory / SIGNATURE)
    opened = trust.open(read_capped(directory, SIGNATURE, MAX_SIGNATURE_BYTES), where)
    signed = bundle.signed_files(opened.statement, where)
    if CLAIMS in names:
        open_regular(directory, CLAIMS).close()
    _check_files(directory, signed, names - UNSIGNED)
    return opened.signer, signed


def _check_files(directory: Path, signed: Mapping[str, str], found: set[str]) -> None:
    removed = "the file was removed: it is signed, but not there"
    added = "the file was added: it is not signed"
    problems = [Problem(removed, _place(directory, name), fix=GET_AGAIN) for name in sorted(set(signed) - found)]
    problems += [
        Problem(added, _place(directory, name), fix=f"remove it, or {GET_AGAIN}")
        for name in sorted(found - set(signed))
    ]
    for name in sorted(found & set(signed)):
        got = sha256(directory, name)
        if got != signed[name]:
            what = "the file was changed after it was signed"
            problems.append(
                Problem(what, _place(directory, name), f"sha256 {got}", f"sha256 {signed[name]}", GET_AGAIN)
            )
    if problems:
        raise IntegrityError.of(problems[:_MAX_PROBLEMS])


def _place(directory: Path, name: str) -> str:
    return str(directory / name) if is_safe(name) else f"{directory}: {shown(name)}"
