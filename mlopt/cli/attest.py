"""``mlopt attest``: state how an artifact was made, what its gates said and what was measured, signed or bare."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlopt.cli.signing_options import Chain, Identity, Issuer, Keyless, PassphraseFile, PrivateKey, Roots, signer, trust

if TYPE_CHECKING:
    from mlopt.artifact.signing.base import Trust
    from mlopt.artifact.signing.signers import Signer

_UNSIGNED = "Write the bare statements for another signer, such as cosign: nothing is signed, and DIR stays as it is."
_NOTHING = "the artifact has no recipe, so nothing is known of how it was made"


def attest(
    *,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The artifact.")],
    key: PrivateKey = None,
    passphrase_file: PassphraseFile = None,
    chain: Chain = None,
    keyless: Keyless = False,
    roots: Roots = None,
    identity: Identity = None,
    issuer: Issuer = None,
    unsigned: Annotated[bool, typer.Option("--unsigned", help=_UNSIGNED)] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="OUT", help="Where the bare statements go.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make the claims of an artifact again.

    They are in claims.jsonl; the artifact's signature must be the same signer's, and hold.
    With --chain, --root says what that signature must lead to; with --keyless, --identity and --issuer.
    """
    from mlopt.core.errors import UserError

    if unsigned != (output is not None):
        raise UserError("--unsigned and --output go together", fix=f"mlopt attest {directory} --unsigned -o OUT")
    if output is not None:
        _show(_write(directory, output), as_json, "statement")
        return
    who = signer(key, passphrase_file, chain, keyless)
    _show([_attach(directory, who, _own(who, roots, identity, issuer))], as_json, "claims")


def _own(who: "Signer", roots: Path | None, identity: str | None, issuer: str | None) -> "Trust":
    """Return what believes this signer, to check the signature of the artifact with."""
    from mlopt.artifact.signing.signers import KeySigner
    from mlopt.artifact.signing.trust import KeyTrust
    from mlopt.core.errors import UserError

    if isinstance(who, KeySigner):
        if roots or identity or issuer:
            raise UserError("a key needs no --root, --identity or --issuer", fix="leave them out")
        return KeyTrust(who.private.public_key())
    given = trust(None, roots, identity, issuer)
    if given is None:
        raise UserError(
            "nothing says how to check your signature of the artifact",
            fix="--root PEM with --chain; --identity WHO --issuer URL with --keyless",
        )
    return given


def _attach(directory: Path, who: "Signer", trusted: "Trust") -> Path:
    from mlopt import claims
    from mlopt.artifact.sign import Digests
    from mlopt.artifact.verify import verify
    from mlopt.core.errors import UserError

    verified = verify(directory, trusted)
    path = claims.attest(directory, who, Digests(verified.root, dict(verified.files)))
    if path is None:
        raise UserError(_NOTHING, where=str(directory))
    return path


def _write(directory: Path, output: Path) -> list[Path]:
    from mlopt import claims
    from mlopt.artifact.files import write_atomic
    from mlopt.core.errors import OutputError, UserError

    statements = claims.statements(directory)
    if not statements:
        raise UserError(_NOTHING, where=str(directory))
    try:
        output.mkdir(parents=True, exist_ok=True)
        for name, statement in statements.items():
            write_atomic(output / f"{name}.json", statement)
    except OSError as error:
        raise OutputError(
            f"the statements could not be written: {error.strerror}", where=str(output), fix="choose another with -o"
        ) from error
    return [output / f"{name}.json" for name in statements]


def _show(paths: list[Path], as_json: bool, what: str) -> None:
    from mlopt.cli import console

    if as_json:
        console.emit_json({"files": [str(path) for path in paths]})
        return
    for path in paths:
        console.out.print(f"{what}: {path}")
