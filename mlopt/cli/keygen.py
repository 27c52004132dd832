"""``mlopt keygen``: make a signing key."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mlopt.cli.signing_options import PassphraseFile
from mlopt.core.errors import OutputError, UserError


class Curve(StrEnum):
    """What ``--curve`` takes; see ``mlopt.artifact.signing.keys.CURVES``."""

    P_256 = "P-256"
    P_384 = "P-384"
    P_521 = "P-521"


def keygen(
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The private key's file; your own key if absent.", dir_okay=False)
    ] = None,
    curve: Annotated[Curve, typer.Option("--curve", help="The key's elliptic curve.")] = Curve.P_256,
    encrypt: Annotated[bool, typer.Option("--encrypt", help="Protect it with a passphrase.")] = False,
    passphrase_file: PassphraseFile = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a key that is there.")] = False,
) -> None:
    """Make a signing key.

    Its public half, FILE.pub, is what others need to verify.
    """
    from mlopt.artifact.signing import keys, passphrase
    from mlopt.cli import console

    if passphrase_file is not None and not encrypt:
        raise UserError("--passphrase-file goes with --encrypt", fix="add --encrypt")
    path = out or keys.user_key_path()
    secret = passphrase.for_new_key(path, passphrase_file) if encrypt else None
    passphrase.forget()
    try:
        public = keys.create_key(path, curve=curve.value, secret=secret, force=force)
    except FileExistsError as error:
        raise OutputError(
            "a key is already there", where=str(path),
            fix="name another file with -o FILE; --force replaces it, and what it signed can no longer be signed again",
        ) from error  # fmt: skip
    protection = "encrypted" if encrypt else "keep it secret"
    console.out.print(f"private key  {path}  ({protection})")
    console.out.print(f"public key   {public}")
    console.out.print(f"fingerprint  {keys.fingerprint(keys.load_public(public))}")
