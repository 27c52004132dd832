"""``mlopt verify``: is an artifact untouched, who signed it, did its gates pass, and what else is claimed of it?"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlopt.cli import signing_options as options
from mlopt.core.errors import ExitCode

if TYPE_CHECKING:
    from mlopt.artifact.verify import Verified

_PREDICATE = (
    "Exit 4 unless the signer claims this: provenance, test-result, benchmark, or the URI of another; repeatable."
)
_COPY_TO = "New directory: copy there while checking, so that the copy is what was checked; private to you."


class RequiredGate(StrEnum):
    """What ``--require-gate`` takes."""

    PASS = "pass"  # noqa: S105 - a verdict, no password


def verify(
    *,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The artifact.")],
    key: options.PublicKey = None,
    roots: options.Roots = None,
    identity: options.Identity = None,
    issuer: options.Issuer = None,
    require_gate: Annotated[
        RequiredGate | None, typer.Option("--require-gate", help="Exit 1 or 3 unless the gates passed.")
    ] = None,
    predicates: Annotated[
        list[str] | None, typer.Option("--require-predicate", metavar="TYPE", help=_PREDICATE)
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Refuse an artifact of another name.")] = None,
    min_version: Annotated[
        int | None, typer.Option("--min-version", min=1, help="Refuse an artifact older than this version.")
    ] = None,
    copy_to: Annotated[Path | None, typer.Option("--copy-to", metavar="NEW_DIR", help=_COPY_TO)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check that an artifact is exactly what was signed.

    Exits with 4 if not.
    """
    from mlopt.artifact import verify as verifying

    def accept(verified: Verified) -> None:
        _show(verified, as_json)
        if require_gate is not None:
            _check_gate(verified, require_gate.value)

    trust = options.trust(key, roots, identity, issuer)
    verifying.verify(
        directory, trust, min_version=min_version, name=name, predicates=predicates or (), copy_to=copy_to,
        accept=accept,
    )  # fmt: skip


def _show(verified: Verified, as_json: bool) -> None:
    if as_json:
        from mlopt.cli import console

        console.emit_json(_as_json(verified))
        return
    for line in _as_text(verified):
        typer.echo(line)  # not through rich, which costs more time than the check


def _check_gate(verified: Verified, wanted: str) -> None:
    verdict = verified.manifest.verdict
    if verdict != wanted:
        typer.echo(f"the gates did not pass: {verdict}  (mlopt gate {verified.directory} says why)", err=True)
        raise typer.Exit(ExitCode.GATE_FAILED if verdict == "fail" else ExitCode.INCONCLUSIVE)


def _as_text(verified: Verified) -> list[str]:
    manifest = verified.manifest
    note = ", signed all the same (--allow-ungated)" if manifest.ungated else ""
    return [
        f"untouched: {verified.directory} is what was signed ({len(verified.files)} files)",
        f"artifact   {manifest.name}, version {manifest.version}, {manifest.created}, mlopt {manifest.mlopt}",
        f"signed by  {_printable(verified.signer)}",
        f"gates      {manifest.verdict}{note}",
        f"claims     {_claims(verified)}",
    ]


def _claims(verified: Verified) -> str:
    """Name what the signer claims: what mlopt knows by its short name, the rest by its URI."""
    if not verified.claims:
        return "none by this signer"
    from mlopt.artifact.claims import PREDICATES

    short = {uri: name for name, uri in PREDICATES.items()}
    return ", ".join(short.get(claim.predicate_type) or _printable(claim.predicate_type) for claim in verified.claims)


def _printable(text: str) -> str:
    from mlopt.artifact.files import shown

    return text if text.isprintable() and len(text) <= 200 else shown(text)


def _as_json(verified: Verified) -> dict[str, Any]:
    manifest = verified.manifest
    return {
        "artifact": str(verified.directory),
        "name": manifest.name,
        "version": manifest.version,
        "created": manifest.created,
        "signer": verified.signer,
        "verdict": manifest.verdict,
        "ungated": manifest.ungated,
        "root": verified.root,
        "files": dict(verified.files),
        "claims": [{"predicate_type": claim.predicate_type, "signer": claim.signer} for claim in verified.claims],
    }
