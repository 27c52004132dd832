"""Verifying an artifact: is it exactly what was signed, by a key that is trusted, and what did its gates say?

Nothing in the directory is believed before the signature over it holds. No model is opened, and no library that could
open one is imported.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlopt.artifact.files import (
    creating,
    hash_files,
    is_safe,
    list_files,
    read_capped,
    reading,
    said_of,
    shown,
    writing,
)
from mlopt.artifact.layout import CLAIMS, MANIFEST, SIGNATURE, UNSIGNED, Manifest, Read, check_manifest, read_manifest
from mlopt.artifact.signing import bundle
from mlopt.artifact.signing.base import GET_AGAIN, Trust
from mlopt.artifact.signing.trust import KeyTrust
from mlopt.core.errors import IntegrityError, OutputError, Problem, UserError

if TYPE_CHECKING:
    from mlopt.artifact.claims import Claim

MAX_SIGNATURE_BYTES = 4 << 20
_MAX_PROBLEMS = 20


@dataclass(frozen=True)
class Verified:
    """An artifact that is exactly what ``signer`` signed, at the time of the check."""

    directory: Path
    """What was checked: the copy, if one was asked for."""
    manifest: Manifest
    signer: str
    """As ``Signer.name``: of a key its fingerprint, see ``mlopt.artifact.signing.keys.fingerprint``."""
    root: str
    files: Mapping[str, str]
    """SHA-256 in hexadecimal of every signed file, by name."""
    claims: tuple[Claim, ...] = ()
    """What the trusted signer states beyond that."""


def verify(
    directory: Path,
    trust: Trust | None = None,
    *,
    min_version: int | None = None,
    name: str | None = None,
    predicates: Collection[str] = (),
    copy_to: Path | None = None,
    accept: Callable[[Verified], object] | None = None,
) -> Verified:
    """Check everything; raises ``IntegrityError`` naming the first kind of thing that is wrong, with all its files.

    Without ``trust`` the user's own key must have signed. ``min_version`` refuses an older artifact that was put in
    the place of a newer one, ``name`` another artifact of the same signer; ``predicates`` (short names or URIs, see
    ``mlopt.artifact.claims``) must each be claimed by the trusted signer.

    All that the result says comes from signed bytes, but whoever can write to ``directory`` can change it after it was
    checked. With ``copy_to``, each file is copied to that new, private directory while it is hashed, read only once,
    and all else is checked on the copy: whatever happens to ``directory``, the copy is what was signed. It appears
    when everything holds, or not at all; ``accept`` is asked last, and prevents it by raising.

    Raises ``UserError`` when there is no such directory or no key to check with, ``OutputError`` when the copy cannot
    be written.
    """
    types = _predicate_types(predicates)
    with _copy(directory, copy_to) as copy:
        with reading(directory):
            trust = trust or KeyTrust.of(None)
            signer, signed = _signed_files(directory, trust, copy)
            held = copy or directory
            with said_of(directory, held):
                root = bundle.root_digest(signed)
                read = _reader(signed)
                manifest = read_manifest(held, read)
                check_manifest(held, manifest, set(signed), read)
                claims = _claims(held, trust, manifest.name, root, signed)
                verified = Verified(copy_to or directory, manifest, signer, root, signed, claims)
                _check_wanted(held, verified, min_version, name, types)
        if accept is not None:
            accept(verified)
    return verified


def _signed_files(directory: Path, trust: Trust, copy: Path | None) -> tuple[str, dict[str, str]]:
    """Return the signer, and the signed digests by name, if the signature holds and these are the files there."""
    names = set(list_files(directory))
    if SIGNATURE not in names:
        raise IntegrityError("the artifact is not signed", where=str(directory), fix=f"mlopt sign {directory}")
    where = str(directory / SIGNATURE)
    signature = read_capped(directory, SIGNATURE, MAX_SIGNATURE_BYTES)
    opened = trust.open(signature, where)
    signed = bundle.signed_files(opened.statement, where)
    _check_files(directory, signed, names - UNSIGNED, copy)
    if copy:
        _keep(copy, SIGNATURE, signature)
        if CLAIMS in names:
            from mlopt.artifact.claims import MAX_CLAIMS_BYTES

            _keep(copy, CLAIMS, read_capped(directory, CLAIMS, MAX_CLAIMS_BYTES))
    return opened.signer, signed


def _check_files(directory: Path, signed: Mapping[str, str], found: set[str], copy: Path | None) -> None:
    removed = "the file was removed: it is signed, but not there"
    added = "the file was added: it is not signed"
    problems = [Problem(removed, _place(directory, name), fix=GET_AGAIN) for name in sorted(set(signed) - found)]
    problems += [
        Problem(added, _place(directory, name), fix=f"remove it, or {GET_AGAIN}")
        for name in sorted(found - set(signed))
    ]
    digests = hash_files(directory, sorted(found & set(signed)), copy_to=copy)
    problems += [_changed(directory, name, got, signed[name]) for name, got in digests.items() if got != signed[name]]
    if problems:
        raise IntegrityError.of(problems[:_MAX_PROBLEMS])


def _changed(directory: Path, name: str, got: str, expected: str) -> Problem:
    what = "the file was changed after it was signed"
    return Problem(what, _place(directory, name), f"sha256 {got}", f"sha256 {expected}", GET_AGAIN)


def _reader(signed: Mapping[str, str]) -> Read:
    """Return what reads signed files: it refuses one that was changed since it was hashed."""

    def read(directory: Path, name: str, limit: int) -> bytes:
        data = read_capped(directory, name, limit)
        got = hashlib.sha256(data).hexdigest()
        expected = signed.get(name, "of no signed file")
        if got != expected:
            raise IntegrityError.of([_changed(directory, name, got, expected)])
        return data

    return read


def _claims(held: Path, trust: Trust, name: str, root: str, signed: Mapping[str, str]) -> tuple[Claim, ...]:
    if not os.path.lexists(held / CLAIMS):
        return ()
    from mlopt.artifact import claims

    return claims.read(held, trust, name, root, signed)


def _predicate_types(predicates: Collection[str]) -> dict[str, str]:
    """Return the URI of each predicate that was asked for, by the name it was asked for with."""
    if not predicates:
        return {}
    from mlopt.artifact.claims import PREDICATES

    unknown = [name for name in predicates if name not in PREDICATES and ":" not in name]
    if unknown:
        raise UserError(
            "there is no predicate of this name", got=unknown[0], expected=f"{', '.join(PREDICATES)}, or a URI"
        )
    return {name: PREDICATES.get(name, name) for name in predicates}


def _check_wanted(
    held: Path, verified: Verified, min_version: int | None, name: str | None, types: Mapping[str, str]
) -> None:
    """Raise ``IntegrityError`` if what was signed is sound, but not what the caller asked for."""
    manifest, where = verified.manifest, str(held / MANIFEST)
    if name is not None and manifest.name != name:
        raise IntegrityError(
            "the artifact is another one than what is asked for", where=where,
            got=f"name {shown(manifest.name)}", expected=f"name {shown(name)}", fix="get the right one",
        )  # fmt: skip
    if min_version is not None and manifest.version < min_version:
        raise IntegrityError(
            "the artifact is older than what is asked for", where=where,
            got=f"version {manifest.version}", expected=f"version {min_version} or newer", fix="get the newer one",
        )  # fmt: skip
    claimed = {claim.predicate_type for claim in verified.claims}
    missing = [wanted for wanted, uri in types.items() if uri not in claimed]
    if missing:
        raise IntegrityError(
            f"the trusted signer claims no {missing[0]}", where=str(held / CLAIMS),
            got=", ".join(map(shown, sorted(claimed))) or "no claims of theirs", expected=types[missing[0]],
            fix="ask the signer for it: mlopt attest DIR",
        )  # fmt: skip


@contextmanager
def _copy(directory: Path, target: Path | None) -> Iterator[Path | None]:
    """Give a new, private directory that becomes ``target`` if all goes well, and is removed otherwise."""
    if target is None:
        yield None
        return
    if os.path.lexists(target):
        raise OutputError("the copy needs a place of its own", where=str(target), got="something is there already")
    if Path(os.path.realpath(target)).is_relative_to(os.path.realpath(directory)):
        raise OutputError("the copy cannot lie inside what is copied", where=str(target), fix="choose another place")
    hidden = target.with_name(f".{target.name}.{os.urandom(4).hex()}")
    try:
        with writing(hidden):
            hidden.mkdir(mode=0o700)
        yield hidden
        with writing(target):
            hidden.rename(target)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _keep(copy: Path, name: str, data: bytes) -> None:
    with creating(copy, name) as write:
        write(memoryview(data))


def _place(directory: Path, name: str) -> str:
    return str(directory / name) if is_safe(name) else f"{directory}: {shown(name)}"
