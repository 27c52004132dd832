"""``mlopt keygen``: make a signing key."""

from pathlib import Path
from typing import Annotated

import typer

from mlopt.errors import OutputError


def keygen(
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The private key's file; your own key if absent.", dir_okay=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a key that is there.")] = False,
) -> None:
    """Make a P-256 signing key; its public half, FILE.pub, is what others need to verify."""
    from mlopt.artifact import keys
    from mlopt.cli import console

    path = out or keys.user_key_path()
    try:
        public = keys.create_key(path, force=force)
    except FileExistsError as error:
        raise OutputError(
            "a key is already there", where=str(path),
            fix="name another file with -o FILE; --force replaces it, and what it signed can no longer be signed again",
        ) from error  # fmt: skip
    console.out.print(f"private key  {path}  (keep it secret)", markup=False)
    console.out.print(f"public key   {public}", markup=False)
    console.out.print(f"fingerprint  {keys.fingerprint(keys.load_public(public))}", markup=False)
