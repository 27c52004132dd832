"""``mlopt verify``: is an artifact untouched, who signed it, did its gates pass?"""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlopt.errors import ExitCode

if TYPE_CHECKING:
    from mlopt.artifact.verify import Verified


class RequiredGate(StrEnum):
    """What ``--require-gate`` takes."""

    PASS = "pass"  # noqa: S105 - a verdict, no password


def verify(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The artifact.")],
    key: Annotated[Path | None, typer.Option("--key", help="The signer's public key; your own if absent.")] = None,
    require_gate: Annotated[
        RequiredGate | None, typer.Option("--require-gate", help="Exit 1 or 3 unless the gates passed.")
    ] = None,
    min_version: Annotated[
        int | None, typer.Option("--min-version", min=1, help="Refuse an artifact older than this version.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check that an artifact is exactly what was signed; exit 4 if not."""
    from mlopt.artifact import verify as verifying
    from mlopt.artifact.trust import KeyTrust
    from mlopt.cli import console

    verified = verifying.verify(directory, KeyTrust.of(key), min_version=min_version)
    if as_json:
        console.emit_json(_as_json(verified))
    else:
        for line in _as_text(verified):
            console.out.print(line, markup=False)
    verdict = verified.manifest.verdict
    if require_gate is not None and verdict != require_gate.value:
        console.err.print(f"the gates did not pass: {verdict}  (mlopt gate {directory} says why)", markup=False)
        raise typer.Exit(ExitCode.GATE_FAILED if verdict == "fail" else ExitCode.INCONCLUSIVE)


def _as_text(verified: "Verified") -> list[str]:
    manifest = verified.manifest
    note = ", signed all the same (--allow-ungated)" if manifest.ungated else ""
    return [
        f"untouched: {verified.directory} is what was signed ({len(verified.files)} files)",
        f"artifact   {manifest.name}, version {manifest.version}, {manifest.created}, mlopt {manifest.mlopt}",
        f"signed by  {verified.signer}",
        f"gates      {manifest.verdict}{note}",
    ]


def _as_json(verified: "Verified") -> dict[str, Any]:
    manifest = verified.manifest
    return {
        "artifact": str(verified.directory),
        "name": manifest.name,
        "version": manifest.version,
        "created": manifest.created,
        "key": verified.signer,
        "verdict": manifest.verdict,
        "ungated": manifest.ungated,
        "root": verified.root,
        "files": dict(verified.files),
    }
