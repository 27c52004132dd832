"""``claims.jsonl``: signed statements about an artifact as a whole, such as how it was made or what its gates said.

Each line is a sigstore bundle, as in ``model.sig``, over one in-toto statement. Its subjects are the root digest and
then every signed file, so it can be found by any of them and fits no other artifact. Every signer has their own lines.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlopt.artifact.files import parse_json, read_capped, reading, shown
from mlopt.artifact.layout import CLAIMS
from mlopt.artifact.signing import bundle
from mlopt.artifact.signing.base import UnknownSignerError
from mlopt.artifact.workspace import changing
from mlopt.core.errors import IntegrityError, OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from mlopt.artifact.signing.base import Trust
    from mlopt.artifact.signing.signers import Signer

MAX_CLAIMS_BYTES = 16 << 20
MAX_CLAIMS = 1000
PREDICATES = {
    "provenance": "https://slsa.dev/provenance/v1",
    "test-result": "https://in-toto.io/attestation/test-result/v0.1",
    "benchmark": "https://mlopt.dev/benchmark/v1",
}
"""The claims that mlopt makes, by the short names that ``--require-predicate`` takes."""

_MAKE_AGAIN = "remove claims.jsonl, and make the claims again with: mlopt attest DIR"


@dataclass(frozen=True)
class Claim:
    """What a trusted signer says of an artifact."""

    predicate_type: str
    signer: str
    """As ``Signer.name``."""
    predicate: dict[str, Any]


def statement(
    name: str, root: str, files: Mapping[str, str], predicate_type: str, predicate: Mapping[str, Any]
) -> bytes:
    """Return an in-toto statement about the artifact ``name`` with these digests, unsigned."""
    value = {
        "_type": bundle.STATEMENT_TYPE,
        "subject": _subjects(name, root, files),
        "predicateType": predicate_type,
        "predicate": predicate,
    }
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def attach(directory: Path, statements: Sequence[bytes], signer: Signer) -> Path:
    """Sign the statements and write them to ``claims.jsonl``, in place of what this signer stated before.

    Lines of other signers stay if they have the same subjects; else they are about an artifact that is no more. Raises
    ``IntegrityError`` when the file that is there is malformed, ``OutputError`` when it cannot be written.
    """
    signed = [signer.sign(statement) for statement in statements]
    subjects = [parse_json(statement, CLAIMS)["subject"] for statement in statements]
    owners = [_claimed_signer(line, CLAIMS) for line in signed]
    try:
        with changing(directory) as write:
            with reading(directory):
                others = [
                    line + b"\n"
                    for line, where in _lines(directory)
                    if _claimed_signer(line, where) not in owners and _claimed_subjects(line, where) in subjects
                ]
            write(CLAIMS, b"".join([*others, *signed]))
    except OSError as error:
        raise OutputError(
            f"the claims could not be written: {error.strerror}", where=str(directory), fix="check its permissions"
        ) from error
    return directory / CLAIMS


def read(directory: Path, trust: Trust, name: str, root: str, files: Mapping[str, str]) -> tuple[Claim, ...]:
    """Return the claims of whom is trusted about the artifact ``name`` with these digests; none without the file.

    Raises ``IntegrityError`` when a line is malformed, or claims to come from whom is trusted but has other subjects or
    no valid signature. Well-formed lines by others are skipped.
    """
    subjects = _subjects(name, root, files)
    found = []
    for line, where in _lines(directory):
        try:
            opened = trust.open(line, where)
        except UnknownSignerError:
            continue
        value = parse_json(opened.statement, where)
        kind, predicate = value.get("predicateType"), value.get("predicate")
        if value.get("_type") != bundle.STATEMENT_TYPE or not isinstance(kind, str) or not isinstance(predicate, dict):
            raise IntegrityError(
                "the claim is malformed", where=where, got=f"type {shown(value.get('_type'))}, {shown(kind)}",
                expected=f"a statement of {bundle.STATEMENT_TYPE}", fix=_MAKE_AGAIN,
            )  # fmt: skip
        if value.get("subject") != subjects:
            raise IntegrityError(
                "the claim is about another artifact, or about other files", where=where, got=shown(kind),
                expected="the root digest and every signed file as its subjects", fix=_MAKE_AGAIN,
            )  # fmt: skip
        found.append(Claim(kind, opened.signer, predicate))
    return tuple(found)


def _subjects(name: str, root: str, files: Mapping[str, str]) -> list[dict[str, Any]]:
    digests = [(name, root), *files.items()]
    return [{"name": subject, "digest": {"sha256": digest}} for subject, digest in digests]


def _lines(directory: Path) -> Iterator[tuple[bytes, str]]:
    """Yield each line with its place; an absent file has none."""
    path = directory / CLAIMS
    if not path.is_symlink() and not path.exists():
        return
    data = read_capped(directory, CLAIMS, MAX_CLAIMS_BYTES).removesuffix(b"\n")
    if data.count(b"\n") >= MAX_CLAIMS:
        raise IntegrityError("there are too many claims", where=str(path), expected=f"at most {MAX_CLAIMS} lines")
    for number, line in enumerate(data.split(b"\n") if data else [], 1):
        yield line, f"{path}:{number}"


def _claimed_subjects(line: bytes, where: str) -> Any:
    return parse_json(bundle.unpack(line, where).payload, where).get("subject")


def _claimed_signer(line: bytes, where: str) -> str | None:
    """Return who a line says has signed it: a key, or whom a certificate names, since keyless signers get new ones."""
    envelope = bundle.unpack(line, where)
    if not envelope.certificates:
        return envelope.key_id
    from mlopt.artifact.signing import certificates

    return certificates.signer_name(certificates.parse_chain(envelope.certificates, where))
