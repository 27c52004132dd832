"""The options of all verbs that sign or verify: each offers those that it needs, and they mean the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlopt.core.errors import UserError

if TYPE_CHECKING:
    from mlopt.artifact.signing.base import Trust
    from mlopt.artifact.signing.signers import Signer

_PASSPHRASE = "File with the passphrase of an encrypted key, mode 0600; else MLOPT_KEY_PASSPHRASE, else it is asked."  # noqa: S105
_CHAIN = "PEM file with the key's code-signing certificate, then the intermediate ones; the root is not in it."
_KEYLESS = "Sign as the identity that a browser login, or the CI system, proves (extra `keyless`)."
_ROOTS = "PEM file with the root certificates that are trusted: the signer's certificate must lead to one."
_IDENTITY = "Who must have signed: a name in the certificate (an e-mail address, a URI or a host)."
_ISSUER = "Who must have proved the identity of a keyless signer: the URL of the OpenID Connect issuer."

PrivateKey = Annotated[Path | None, typer.Option("--key", help="The private key; your own, made on first use.")]
PassphraseFile = Annotated[Path | None, typer.Option("--passphrase-file", metavar="FILE", help=_PASSPHRASE)]
Chain = Annotated[Path | None, typer.Option("--chain", metavar="PEM", help=_CHAIN)]
Keyless = Annotated[bool, typer.Option("--keyless", help=_KEYLESS)]
PublicKey = Annotated[Path | None, typer.Option("--key", help="The signer's public key; your own if absent.")]
Roots = Annotated[Path | None, typer.Option("--root", metavar="PEM", help=_ROOTS)]
Identity = Annotated[str | None, typer.Option("--identity", help=_IDENTITY)]
Issuer = Annotated[str | None, typer.Option("--issuer", metavar="URL", help=_ISSUER)]


def chosen_key(key: Path | None) -> Path | None:
    """Return the private key that an option names, or else the project's settings."""
    from mlopt.cli.settings import load

    return key or load().key


def signer(key: Path | None, passphrase_file: Path | None, chain: Path | None, keyless: bool) -> Signer:
    """Return who signs.

    Without a key, here or in the project's settings, it is the user's own, made on first use, which is told.
    Asks for what it needs now, so that long work can follow. Raises ``OutputError`` or ``UserError``.
    """
    from mlopt.artifact.signing import keys, passphrase
    from mlopt.artifact.signing.certificates import load_chain
    from mlopt.artifact.signing.signers import CertificateSigner, KeySigner
    from mlopt.cli import console

    if keyless:
        if key or passphrase_file or chain:
            raise UserError("--keyless signs without a key", fix="leave out --key, --passphrase-file and --chain")
        from mlopt.artifact.signing.keyless import KeylessSigner

        passphrase.forget()
        return KeylessSigner()
    key = chosen_key(key)
    if key is None:
        own = keys.user_key(passphrase_file)
        private = own.private
        if own.created:
            console.err.print(f"made your signing key: {own.path}")
    else:
        private = keys.load_private(key, passphrase_file)
    passphrase.forget()
    return KeySigner(private) if chain is None else CertificateSigner(private, load_chain(chain))


def trust(key: Path | None, roots: Path | None, identity: str | None, issuer: str | None) -> Trust | None:
    """Return who is believed; ``None`` is the user's own key. Raises ``OutputError`` or ``UserError``."""
    from mlopt.artifact.signing.trust import chosen

    return chosen(key, roots, identity, issuer)


def trusted_words(key: Path | None, roots: Path | None, identity: str | None, issuer: str | None) -> tuple[str, ...]:
    """Return the options that say the same to another verb."""
    said = {"--key": key, "--root": roots, "--identity": identity, "--issuer": issuer}
    return tuple(word for option, value in said.items() if value is not None for word in (option, str(value)))
