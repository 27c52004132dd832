"""``mlopt sign``: sign an artifact."""

from pathlib import Path
from typing import Annotated

import typer


def sign(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The artifact.")],
    key: Annotated[Path | None, typer.Option("--key", help="The private key; your own, made on first use.")] = None,
    allow_ungated: Annotated[
        bool, typer.Option("--allow-ungated", help="Sign although the gates did not pass; the artifact records it.")
    ] = False,
) -> None:
    """Sign every file of an artifact (OpenSSF Model Signing format, model.sig)."""
    from mlopt.artifact import keys
    from mlopt.artifact import sign as signing
    from mlopt.artifact.signers import KeySigner
    from mlopt.cli import console

    if key is None:
        own = keys.user_key()
        private = own.private
        if own.created:
            console.err.print(f"made your signing key: {own.path}", markup=False)
    else:
        private = keys.load_private(key)
    signature = signing.sign(directory, KeySigner(private), allow_ungated=allow_ungated)
    console.out.print(f"signed: {signature}", markup=False)
    console.out.print(f"key     {keys.fingerprint(private.public_key())}", markup=False)
