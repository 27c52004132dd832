"""``mlopt rollout push``, ``pull`` and ``tag``: artifacts in an OCI registry, by digest."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlopt.cli import rollout_options as shared
from mlopt.cli import signing_options as options

if TYPE_CHECKING:
    from mlopt.rollout.registry import OciRegistry

_TO = "HOST[:PORT]/NAME[:TAG]; https, or plain HTTP to this machine."
_FROM = "HOST[:PORT]/NAME:TAG, or HOST[:PORT]/NAME@sha256:DIGEST."
_RECORDED = "A ledger in which the move is written."
_LOGIN = "File with USER:PASSWORD, mode 0600; else MLOPT_REGISTRY_LOGIN."

LoginFile = Annotated[Path | None, typer.Option("--login-file", metavar="FILE", help=_LOGIN)]


def push(
    *,
    artifact: Annotated[Path, typer.Argument(metavar="ARTIFACT", help="The artifact, which is verified first.")],
    to: Annotated[str, typer.Argument(metavar="REFERENCE", help=_TO)],
    login_file: LoginFile = None,
    key: options.PublicKey = None,
    roots: options.Roots = None,
    identity: options.Identity = None,
    issuer: options.Issuer = None,
    json: shared.AsJson = False,
) -> None:
    """Push an artifact, its signature included."""
    from mlopt.artifact.verify import verify
    from mlopt.cli import console
    from mlopt.rollout.registry import ImageReference

    reference = ImageReference.parse(to)
    verified = verify(artifact, options.trust(key, roots, identity, issuer))
    digest = _registry(login_file).push(verified, reference)
    if json:
        console.emit_json({"host": reference.host, "name": reference.name, "digest": digest, "root": verified.root})
    else:
        console.out.print(f"{reference.host}/{reference.name}@{digest}")


def pull(
    *,
    source: Annotated[str, typer.Argument(metavar="REFERENCE", help=_FROM)],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where to.")],
    login_file: LoginFile = None,
    key: options.PublicKey = None,
    roots: options.Roots = None,
    identity: options.Identity = None,
    issuer: options.Issuer = None,
    min_version: Annotated[
        int | None, typer.Option("--min-version", min=1, help="Refuse an artifact older than this version.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Refuse an artifact of another name.")] = None,
    json: shared.AsJson = False,
) -> None:
    """Pull an artifact, if it is what was signed.

    If not, exits with 4, and nothing is written.
    """
    from mlopt.artifact.signing.trust import KeyTrust
    from mlopt.artifact.verify import verify
    from mlopt.cli import console
    from mlopt.rollout.registry import ImageReference

    trust = options.trust(key, roots, identity, issuer) or KeyTrust.of(None)
    check = partial(verify, trust=trust, min_version=min_version, name=name)
    verified, digest = _registry(login_file).pull(ImageReference.parse(source), out, check)
    about = {"name": verified.manifest.name, "version": verified.manifest.version}
    if json:
        console.emit_json({"artifact": str(out), "digest": digest, "root": verified.root, **about})
        return
    console.out.print(f"pulled     {out}: it is what was signed")
    console.out.print(f"artifact   {about['name']}, version {about['version']}, {verified.root}")
    console.out.print(f"image      {digest}")


def tag(
    *,
    source: Annotated[str, typer.Argument(metavar="REFERENCE", help=_FROM)],
    new: Annotated[str, typer.Argument(metavar="TAG", help="The tag that shall point there.")],
    login_file: LoginFile = None,
    ledger: Annotated[Path | None, typer.Option("--ledger", metavar="FILE", help=_RECORDED)] = None,
    sign_key: shared.SignKey = None,
    passphrase_file: options.PassphraseFile = None,
    ledger_keys: shared.LedgerKeys = None,
    why: shared.Why = "",
    json: shared.AsJson = False,
) -> None:
    """Let a tag point to what is there already.

    That promotes it; with a ledger, `rollback --via registry` goes back.
    """
    from mlopt.cli import console
    from mlopt.rollout.registry import ImageReference
    from mlopt.rollout.tag_target import TagTarget, moved

    registry, reference = _registry(login_file), ImageReference.parse(source)
    if ledger is None:
        digest = registry.tag(reference, new)
    else:
        digest = registry.resolve(reference)
        target = TagTarget(registry, ImageReference(reference.host, reference.name, new))
        moved(target, shared.book(ledger, sign_key, passphrase_file, ledger_keys), digest, why)
    if json:
        console.emit_json({"tag": new, "digest": digest})
    else:
        console.out.print(f"{new}  {digest}")


def _registry(login_file: Path | None) -> OciRegistry:
    from mlopt.rollout.credential import REGISTRY_LOGIN, credential
    from mlopt.rollout.registry import OciRegistry

    return OciRegistry(credential(login_file, REGISTRY_LOGIN))
