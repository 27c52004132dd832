"""``mlopt pack``: one file of a verified artifact, or an OCI image layout."""

from pathlib import Path
from typing import Annotated

import typer

from mlopt.cli.signing_options import Identity, Issuer, PublicKey, Roots
from mlopt.core.errors import UserError

_OUT = "The archive to write.  [default: NAME-VERSION.mlopt]"
_OCI = "Write an OCI image layout into this new directory instead, for oras, skopeo and the like."


def pack(
    *,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The artifact.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help=_OUT)] = None,
    oci: Annotated[Path | None, typer.Option("--oci", metavar="OUT", help=_OCI)] = None,
    key: PublicKey = None,
    roots: Roots = None,
    identity: Identity = None,
    issuer: Issuer = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Verify an artifact and put it into one file.

    The same bytes everywhere; prints its SHA-256 as sha256sum does.
    """
    from mlopt.artifact import archive
    from mlopt.artifact import oci as image
    from mlopt.artifact.verify import verify
    from mlopt.cli import console, signing_options

    if out is not None and oci is not None:
        raise typer.BadParameter("goes without --out: give one of the two", param_hint="--oci")
    verified = verify(directory, signing_options.trust(key, roots, identity, issuer))
    manifest = verified.manifest
    if oci is not None:
        written, digest = oci, image.write(verified, oci)
    else:
        written = out or _file_for(manifest.name, manifest.version)
        digest = archive.pack(verified, written)
    if as_json:
        found = {"name": manifest.name, "version": manifest.version, "sha256": digest}
        console.emit_json({"file" if oci is None else "oci": str(written), **found})
    else:
        console.out.print(f"{digest}  {written}")


def _file_for(name: str, version: int) -> Path:
    """Name the archive after its artifact, in the current directory; a name that leads elsewhere is refused."""
    from mlopt.artifact.files import is_safe, shown

    if "/" in name or not is_safe(name):
        raise UserError("the artifact's name cannot be that of a file", got=shown(name), fix="give a name with -o FILE")
    return Path(f"{name}-{version}.mlopt")
