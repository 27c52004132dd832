"""Signing an artifact: every file but ``model.sig`` and ``claims.jsonl``, in the OpenSSF Model Signing format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlopt.artifact.files import hash_files, is_safe, list_files, reading, shown
from mlopt.artifact.layout import MANIFEST, SIGNATURE, UNSIGNED, Manifest, check_manifest, read_manifest
from mlopt.artifact.signing import bundle
from mlopt.artifact.workspace import changing
from mlopt.core.errors import IntegrityError, OutputError

if TYPE_CHECKING:
    from pathlib import Path

    from mlopt.artifact.signing.signers import Signer
    from mlopt.artifact.workspace import Write


@dataclass(frozen=True)
class Digests:
    """SHA-256 digests in hexadecimal: of each signed file, by name, and of them all."""

    root: str
    files: dict[str, str]


def sign(directory: Path, signer: Signer, *, allow_ungated: bool = False) -> Path:
    """Write ``model.sig`` and return its path.

    Raises ``OutputError`` when the gates did not pass, unless ``allow_ungated``, which ``mlopt.json`` then records
    under the signature; ``IntegrityError`` when the directory is not an artifact, or holds more or less than it lists.
    """
    with reading(directory):
        read_manifest(directory)
    try:
        with changing(directory) as write:
            with reading(directory):
                manifest = read_manifest(directory)
                check_manifest(directory, manifest, set(list_files(directory)) - UNSIGNED)
            if manifest.verdict != "pass":
                _record_ungated(directory, manifest, allow_ungated, write)
            digests = digest(directory)
            payload = bundle.statement(manifest.name, digests.files, tuple(sorted(UNSIGNED)))
            write(SIGNATURE, signer.sign(payload))
    except OSError as error:
        raise OutputError(
            f"the signature could not be written: {error.strerror}", where=str(directory), fix="check its permissions"
        ) from error
    return directory / SIGNATURE


def digest(directory: Path) -> Digests:
    """Return what a signature of ``directory`` covers now; raises ``IntegrityError`` on files that cannot be signed."""
    with reading(directory):
        names = [name for name in list_files(directory) if name not in UNSIGNED]
        _check_names(directory, names)
        files = hash_files(directory, names)
    return Digests(bundle.root_digest(files), files)


def _check_names(directory: Path, names: list[str]) -> None:
    unsafe = [name for name in names if not is_safe(name)]
    if unsafe:
        raise IntegrityError(
            f"a file of this name cannot be signed: {shown(unsafe[0])}", where=str(directory),
            expected="letters, digits and _.+=@- only, no leading dot", fix="rename or remove it",
        )  # fmt: skip
    if names != sorted(names, key=lambda name: name.split("/")):
        raise IntegrityError(
            "a directory X stands beside a file X.* or X-*: tools sort them differently", where=str(directory),
            fix="rename one of them",
        )  # fmt: skip


def _record_ungated(directory: Path, manifest: Manifest, allow_ungated: bool, write: Write) -> None:
    if not allow_ungated:
        raise OutputError(
            "not signed: its gates did not pass", where=str(directory), got=f"verdict {manifest.verdict}",
            expected="verdict pass", fix=f"mlopt gate {directory} says why; --allow-ungated signs it and records that",
        )  # fmt: skip
    if not manifest.ungated:
        write(MANIFEST, manifest.model_copy(update={"ungated": True}).to_json())
