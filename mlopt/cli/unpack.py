"""``mlopt unpack``: the artifact in an archive, if it is what was signed."""

from pathlib import Path
from typing import Annotated

import typer

from mlopt.cli.signing_options import Identity, Issuer, PublicKey, Roots
from mlopt.core.errors import UserError


def unpack(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An archive that `mlopt pack` wrote.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Where to.  [default: FILE without .mlopt]")
    ] = None,
    key: PublicKey = None,
    roots: Roots = None,
    identity: Identity = None,
    issuer: Issuer = None,
    min_version: Annotated[
        int | None, typer.Option("--min-version", min=1, help="Refuse an artifact older than this version.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Refuse an artifact of another name.")] = None,
    predicates: Annotated[
        list[str] | None,
        typer.Option("--require-predicate", metavar="TYPE", help="Refuse it unless the signer claims this."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make an artifact of an archive, if it is what was signed.

    If not, exits with 4, and nothing is written.
    """
    from functools import partial

    from mlopt.artifact import archive
    from mlopt.artifact.signing.trust import KeyTrust
    from mlopt.artifact.verify import verify
    from mlopt.cli import console, signing_options

    trust = signing_options.trust(key, roots, identity, issuer) or KeyTrust.of(None)
    check = partial(verify, trust=trust, min_version=min_version, name=name, predicates=predicates or ())
    verified = archive.unpack(file, out or _directory_for(file), check)
    manifest = verified.manifest
    if as_json:
        found = {"artifact": str(verified.directory), "name": manifest.name, "version": manifest.version}
        console.emit_json({**found, "signer": verified.signer, "verdict": manifest.verdict, "root": verified.root})
        return
    console.out.print(f"unpacked   {verified.directory}: it is what was signed")
    console.out.print(f"artifact   {manifest.name}, version {manifest.version}, gates {manifest.verdict}")
    console.out.print(f"signed by  {verified.signer}")


def _directory_for(file: Path) -> Path:
    """Name the directory after the archive, in the current directory: its content is not known yet."""
    if file.suffix != ".mlopt" or not file.stem:
        raise UserError("its name does not end in .mlopt", where=str(file), fix="give a place with -o DIR")
    return Path(file.stem)
