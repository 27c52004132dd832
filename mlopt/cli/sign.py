"""``mlopt sign``: sign an artifact."""

from pathlib import Path
from typing import Annotated

import typer

from mlopt.cli.signing_options import Chain, Keyless, PassphraseFile, PrivateKey, signer


def sign(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The artifact.")],
    key: PrivateKey = None,
    passphrase_file: PassphraseFile = None,
    chain: Chain = None,
    keyless: Keyless = False,
    allow_ungated: Annotated[
        bool, typer.Option("--allow-ungated", help="Sign although the gates did not pass; the artifact records it.")
    ] = False,
) -> None:
    """Sign every file of an artifact, and make its claims.

    The signature is model.sig, in the format of OpenSSF Model Signing; the claims are claims.jsonl.
    """
    from mlopt import claims
    from mlopt.artifact import sign as signing
    from mlopt.cli import console

    who = signer(key, passphrase_file, chain, keyless)
    signature = signing.sign(directory, who, allow_ungated=allow_ungated)
    claims.attest(directory, who)  # what was claimed before was about the artifact as it was then
    console.out.print(f"signed: {signature}")
    console.out.print(f"signer  {who.name}")
