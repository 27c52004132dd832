"""``mlopt rollout start``, ``promote``, ``hold``, ``rollback`` and ``status``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlopt.cli import rollout_options as shared
from mlopt.cli import signing_options as options
from mlopt.cli.rollout_options import LEDGER, TargetKind

_ARTIFACT = "The candidate. It is verified here, and again by the server that loads it."
_SHARE = "Percent of the requests that it answers."
_MIRROR = "Percent of the requests that it gets a copy of, unseen: so that answers are compared."
_EXPECTED = "Refuse an artifact of another digest."
_AT_TARGET = "The artifact's directory on the server's machine.  [default: its path here]"
_ANY_NAME = "The server calls the model otherwise than the artifact does."


def start(
    *,
    artifact: Annotated[Path, typer.Argument(metavar="ARTIFACT", help=_ARTIFACT)],
    at: shared.At,
    via: shared.Via = TargetKind.EMBEDDED,
    share: Annotated[int, typer.Option("--share", metavar="PERCENT", min=0, max=99, help=_SHARE)] = 10,
    mirror: Annotated[int, typer.Option("--mirror", metavar="PERCENT", min=0, max=100, help=_MIRROR)] = 0,
    digest: Annotated[str | None, typer.Option("--digest", metavar="HEX", help=_EXPECTED)] = None,
    at_target: Annotated[str | None, typer.Option("--server-path", metavar="DIR", help=_AT_TARGET)] = None,
    any_name: Annotated[bool, typer.Option("--any-name", help=_ANY_NAME)] = False,
    key: options.PublicKey = None,
    roots: options.Roots = None,
    identity: options.Identity = None,
    issuer: options.Issuer = None,
    model: shared.Model = None,
    token_file: shared.TokenFile = None,
    ledger: shared.Ledger = LEDGER,
    sign_key: shared.SignKey = None,
    passphrase_file: options.PassphraseFile = None,
    ledger_keys: shared.LedgerKeys = None,
    why: shared.Why = "",
    json: shared.AsJson = False,
) -> None:
    """Bring a candidate up beside what serves.

    It gets a share of the requests. Exits with 4 when it is not what was signed, another one, or older than what
    serves: that goes on serving.
    """
    from mlopt.artifact.files import reading
    from mlopt.artifact.layout import read_manifest
    from mlopt.rollout import steps

    with reading(artifact):
        called = model or read_manifest(artifact).name  # believed only once it is verified
    request = steps.StartRequest(
        artifact, options.trust(key, roots, identity, issuer), share=share, mirror=mirror, digest=digest,
        at_target=at_target, any_name=any_name, why=why,
    )  # fmt: skip
    target = shared.target(via, at, called, token_file)
    book = shared.book(ledger, sign_key, passphrase_file, ledger_keys)
    shared.show_step(steps.start(target, book, request), json)


def promote(
    *,
    at: shared.At,
    via: shared.Via = TargetKind.EMBEDDED,
    digest: shared.ForDigest = None,
    unload: shared.Unload = False,
    model: shared.Model = None,
    token_file: shared.TokenFile = None,
    ledger: shared.Ledger = LEDGER,
    sign_key: shared.SignKey = None,
    passphrase_file: options.PassphraseFile = None,
    ledger_keys: shared.LedgerKeys = None,
    why: shared.Why = "",
    json: shared.AsJson = False,
) -> None:
    """Give the candidate all requests."""
    from mlopt.rollout import steps

    book = shared.book(ledger, sign_key, passphrase_file, ledger_keys)
    target = shared.target(via, at, shared.known_model(book, via, at, model), token_file)
    shared.show_step(steps.promote(target, book, why, digest=digest, unload=unload), json)


def rollback(
    *,
    at: shared.At,
    via: shared.Via = TargetKind.EMBEDDED,
    digest: shared.ForDigest = None,
    unload: shared.Unload = False,
    model: shared.Model = None,
    token_file: shared.TokenFile = None,
    ledger: shared.Ledger = LEDGER,
    sign_key: shared.SignKey = None,
    passphrase_file: options.PassphraseFile = None,
    ledger_keys: shared.LedgerKeys = None,
    why: shared.Why = "",
    json: shared.AsJson = False,
) -> None:
    """Give all requests to what served before, by the ledger.

    The same again changes nothing; --digest goes further back.
    """
    from mlopt.rollout import steps

    book = shared.book(ledger, sign_key, passphrase_file, ledger_keys)
    target = shared.target(via, at, shared.known_model(book, via, at, model), token_file)
    shared.show_step(steps.rollback(target, book, why, digest=digest, unload=unload), json)


def hold(
    *,
    at: shared.At,
    via: shared.Via = TargetKind.EMBEDDED,
    model: shared.Model = None,
    token_file: shared.TokenFile = None,
    ledger: shared.Ledger = LEDGER,
    sign_key: shared.SignKey = None,
    passphrase_file: options.PassphraseFile = None,
    ledger_keys: shared.LedgerKeys = None,
    why: shared.Why = "",
    json: shared.AsJson = False,
) -> None:
    """Leave the shares as they are until the next step.

    An analysis that passes does not promote meanwhile; one that fails still rolls back.
    """
    from mlopt.cli import console
    from mlopt.rollout import steps

    book = shared.book(ledger, sign_key, passphrase_file, ledger_keys)
    target = shared.target(via, at, shared.known_model(book, via, at, model), token_file)
    line = steps.hold(target, book, why)
    if json:
        console.emit_json(line.model_dump(mode="json"))
    else:
        shares = ", ".join(f"{digest[:12]} {share.weight} %" for digest, share in line.after.items())
        console.out.print(f"held       {shares}")


def status(
    *,
    at: shared.At,
    via: shared.Via = TargetKind.EMBEDDED,
    model: shared.Model = None,
    token_file: shared.TokenFile = None,
    ledger: shared.Ledger = LEDGER,
    sign_key: shared.SignKey = None,
    passphrase_file: options.PassphraseFile = None,
    ledger_keys: shared.LedgerKeys = None,
    json: shared.AsJson = False,
) -> None:
    """Show what serves now, and where a rollback leads."""
    from mlopt.cli import console
    from mlopt.rollout import steps
    from mlopt.rollout.traffic import told

    book = shared.book(ledger, sign_key, passphrase_file, ledger_keys)
    target = shared.target(via, at, shared.known_model(book, via, at, model), token_file)
    found = steps.status(target, book)
    if json:
        unfinished = found.unfinished.model_dump(mode="json") if found.unfinished else None
        console.emit_json(
            {"target": target.name, "model": target.model, "serving": shared.serving_as_json(found.serving),
             "held": found.held, "unfinished": unfinished, "rollback_to": found.back}
        )  # fmt: skip
        return
    console.out.print(f"serving    {told(found.serving)}")
    for each in found.serving.versions:
        version = "" if each.version is None else f", version {each.version}"
        console.out.print(f"version    {each.digest}{version}, {each.state}, {each.weight} %, copies {each.shadow} %")
    console.out.print(f"back to    {found.back or 'nothing: the last step was a rollback, or there was none'}")
    if found.last is not None:
        console.out.print(f"last       {found.last.step} of {found.last.digest[:12]} at {found.last.time}")
    if found.held:
        console.out.print("held       an analysis that passes does not promote")
    if found.unfinished is not None:
        cut = f"{found.unfinished.step} of {found.unfinished.digest[:12]} began at {found.unfinished.time}"
        console.out.print(f"unfinished {cut} and was cut off: give the same command again, or roll back")
