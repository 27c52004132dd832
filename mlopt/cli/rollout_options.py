"""The options that the verbs of ``mlopt rollout`` share, and what they come to: a target and a ledger."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlopt.cli import signing_options
from mlopt.core.errors import UserError

if TYPE_CHECKING:
    from mlopt.artifact.signing.base import Trust
    from mlopt.rollout.conduct import LedgerBook, StepDone
    from mlopt.rollout.target import RolloutTarget
    from mlopt.rollout.traffic import Serving


class TargetKind(StrEnum):
    """What ``--via`` takes."""

    EMBEDDED = "embedded"
    ENVOY = "envoy"
    REGISTRY = "registry"


_AT = "Admin address of the server or the proxy: https, or http on this machine; of a registry HOST/NAME:TAG."
_VIA = "What serves: `mlopt serve`, an Envoy that `envoy-config` configured, or whoever follows a tag."
_MODEL = "The model's name in addresses.  [default: the artifact's, or the only one of the ledger]"
_TOKEN = "File with the admin token, mode 0600; else MLOPT_ADMIN_TOKEN."  # noqa: S105
_LEDGER = "The ledger; begun where there is none."
_SIGN = "The private key that signs the ledger's lines; your own, made on first use."
_LEDGER_KEY = "A public key whose lines count as well, beside your own; repeatable."
_WHY = "The reason, for the ledger."
_DIGEST = "A digest, or its first 8 characters or more."

Via = Annotated[TargetKind, typer.Option("--via", help=_VIA)]
At = Annotated[str, typer.Option("--at", metavar="URL", help=_AT)]
Model = Annotated[str | None, typer.Option("--model", metavar="NAME", help=_MODEL)]
TokenFile = Annotated[Path | None, typer.Option("--token-file", metavar="FILE", help=_TOKEN)]
Ledger = Annotated[Path, typer.Option("--ledger", metavar="FILE", help=_LEDGER)]
SignKey = Annotated[Path | None, typer.Option("--sign-key", metavar="KEY", help=_SIGN)]
LedgerKeys = Annotated[list[Path] | None, typer.Option("--ledger-key", metavar="PUB", help=_LEDGER_KEY)]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help=_WHY)]
ForDigest = Annotated[str | None, typer.Option("--digest", metavar="HEX", help=_DIGEST)]
Unload = Annotated[bool, typer.Option("--unload", help="Let all other versions go, which takes the quick way back.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

LEDGER = Path("rollout.jsonl")


def target(via: TargetKind, at: str, model: str, token_file: Path | None) -> RolloutTarget:
    """Return what the options name; raises ``UserError`` where the token is missing."""
    from mlopt.rollout.calls import checked
    from mlopt.rollout.credential import ADMIN_TOKEN, credential

    if via is TargetKind.REGISTRY:
        return _tag(at)
    checked(at)
    if via is TargetKind.ENVOY:
        from mlopt.rollout.envoy import EnvoyTarget

        return EnvoyTarget(at, model)
    from mlopt.rollout.embedded import EmbeddedTarget

    token = credential(token_file, ADMIN_TOKEN)
    if token is None:
        raise UserError("the server's token is missing", fix=f"--token-file FILE, or {ADMIN_TOKEN}")
    return EmbeddedTarget(at, model, token)


def _tag(at: str) -> RolloutTarget:
    from mlopt.rollout.credential import REGISTRY_LOGIN, credential
    from mlopt.rollout.registry import ImageReference, OciRegistry
    from mlopt.rollout.tag_target import TagTarget

    return TagTarget(OciRegistry(credential(None, REGISTRY_LOGIN)), ImageReference.parse(at))


def book(ledger: Path, sign_key: Path | None, passphrase_file: Path | None, more: list[Path] | None) -> LedgerBook:
    """Return the ledger, signed with the key that is named, else with the user's own."""
    from mlopt.artifact.signing.signers import KeySigner
    from mlopt.artifact.signing.trust import KeyTrust
    from mlopt.rollout.conduct import LedgerBook

    signer = signing_options.signer(sign_key, passphrase_file, None, False)
    own = [KeyTrust(signer.private.public_key())] if isinstance(signer, KeySigner) else []
    return LedgerBook(ledger, any_of([*own, *map(KeyTrust.of, more or ())]), signer)


def any_of(each: list[Any]) -> Trust:
    """Return what believes any of these."""
    from mlopt.rollout.ledger import AnyTrust

    return AnyTrust(tuple(each))


def known_model(found: LedgerBook, via: TargetKind, at: str, model: str | None) -> str:
    """Return the model that is named, else the only one that the ledger has at this target."""
    from mlopt.rollout import ledger

    if model is not None:
        return model
    place = f"{via.value} {at.rstrip('/')}"
    content = ledger.read(found.path, found.trust, missing_ok=True)
    known = sorted({each.model for each in content.records if each.target == place})
    if len(known) != 1:
        raise UserError(
            "the model is not named", where=str(found.path), got=", ".join(known) or f"no lines of {place}",
            expected="--model NAME",
        )  # fmt: skip
    return known[0]


def serving_as_json(serving: Serving) -> list[dict[str, Any]]:
    """Return all that a target holds."""
    return [
        {"digest": each.digest, "version": each.version, "state": each.state, "weight": each.weight,
         "shadow": each.shadow}
        for each in serving.versions
    ]  # fmt: skip


def show_step(done: StepDone, as_json: bool) -> None:
    """Print how a step ended."""
    from mlopt.cli import console
    from mlopt.rollout.traffic import told

    if as_json:
        found = {"step": done.step, "digest": done.digest, "changed": done.changed}
        console.emit_json({**found, "serving": serving_as_json(done.after)})
        return
    console.out.print(f"{done.step:<10} {done.digest}" + ("" if done.changed else ": it was so already"))
    console.out.print(f"serving    {told(done.after)}")
