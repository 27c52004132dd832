"""The four steps of a rollout: start beside what serves, promote, hold, and back to what served before.

Each is verified, planned and carried out under the ledger's lock; each may be given again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import JsonValue

from mlopt.artifact.signing.base import Trust
from mlopt.artifact.verify import Verified, verify
from mlopt.core.errors import IntegrityError, UserError
from mlopt.rollout import history, traffic
from mlopt.rollout.chain import RolloutRecord
from mlopt.rollout.conduct import LedgerBook, StepDone, Wish, carry_out, note
from mlopt.rollout.target import RolloutTarget
from mlopt.rollout.traffic import Serving


@dataclass(frozen=True)
class StartRequest:
    """A candidate, and how it should begin."""

    artifact: Path
    trust: Trust | None
    share: int = 10
    mirror: int = 0
    digest: str | None = None
    """The digest that it must have."""
    at_target: str | None = None
    """Its directory as the target sees it; that of ``artifact`` where None."""
    any_name: bool = False
    """The target calls the model otherwise than the artifact does."""
    why: str = ""


@dataclass(frozen=True)
class RolloutStatus:
    """What a target holds, and what the ledger says of it."""

    serving: Serving
    held: bool
    unfinished: RolloutRecord | None
    back: str | None
    """The digest that a rollback leads to."""
    last: RolloutRecord | None


def start(target: RolloutTarget, book: LedgerBook, request: StartRequest) -> StepDone:
    """Bring a candidate up beside what serves; nothing of it serves before all of it was verified.

    Raises ``IntegrityError`` when the artifact is not what was signed, is another one or an older version.
    """
    with book.stepping():
        verified = check(request, target.serving(), target.model)
        digest = verified.root
        where = request.at_target or str(request.artifact.resolve())
        plan = partial(traffic.start, digest=digest, share=request.share, mirror=request.mirror)
        detail: dict[str, JsonValue] = {"version": verified.manifest.version, "signer": verified.signer}
        return carry_out(target, book, Wish("start", digest, request.why, plan, where, detail))


def check(request: StartRequest, serving: Serving, model: str) -> Verified:
    """Verify a candidate: whose it is, that it is the one that is meant, and no older than what serves."""
    newest = max((each.version or 1 for each in serving.versions if each.weight), default=1)
    name = None if request.any_name else model
    verified = verify(request.artifact, request.trust, min_version=newest, name=name)
    if request.digest is not None and verified.root != request.digest.lower():
        raise IntegrityError(
            "the artifact is another one than what is asked for", where=str(request.artifact),
            got=f"digest {verified.root}", expected=f"digest {request.digest}", fix="get the right one",
        )  # fmt: skip
    return verified


def promote(
    target: RolloutTarget, book: LedgerBook, why: str, *, digest: str | None = None, unload: bool = False
) -> StepDone:
    """Give the candidate all traffic; without a digest, the one beside what serves."""
    with book.stepping():
        serving, records = target.serving(), book.records(target)
        wanted = whole(digest, serving, records) if digest else _candidate(serving, records)
        plan = partial(traffic.promote, digest=wanted, unload=unload)
        return carry_out(target, book, Wish("promote", wanted, why, plan))


def rollback(
    target: RolloutTarget, book: LedgerBook, why: str, *, digest: str | None = None, unload: bool = False
) -> StepDone:
    """Give all traffic to what served before, by the ledger, or to a digest of an earlier time.

    Once that is done, the same again changes nothing.
    """
    with book.stepping():
        serving, records = target.serving(), book.records(target)
        wanted = whole(digest, serving, records) if digest else history.way_back(records)
        if wanted is None:
            return _already_back(serving, records)
        plan = partial(traffic.back, digest=wanted, unload=unload)
        return carry_out(target, book, Wish("rollback", wanted, why, plan, history.artifact_of(records, wanted)))


def hold(target: RolloutTarget, book: LedgerBook, why: str) -> RolloutRecord:
    """Leave the shares as they are: no analysis promotes until the next step; one that fails still rolls back."""
    with book.stepping():
        main = target.serving().main()
        if main is None:
            raise UserError("nothing serves", where=target.name)
        return note(target, book, Wish("hold", main.digest, why, lambda _: traffic.TrafficPlan()))


def status(target: RolloutTarget, book: LedgerBook) -> RolloutStatus:
    """Return what serves now, and what the ledger says of it."""
    records = book.records(target)
    return RolloutStatus(
        target.serving(), history.is_held(records), history.unfinished(records), history.way_back(records),
        history.last_move(records),
    )  # fmt: skip


def whole(digest: str, serving: Serving, records: tuple[RolloutRecord, ...]) -> str:
    """Return the one known digest that begins like this; raises ``UserError``."""
    known = {each.digest for each in serving.versions} | {each.digest for each in records} | {*history.served(records)}
    found = sorted(each for each in known if each.startswith(digest.lower()))
    if len(found) != 1 or len(digest) < 8:
        raise UserError(
            "no one version has this digest", got=digest, expected=", ".join(each[:12] for each in found or known),
            fix="give all of it, or at least 8 characters; `mlopt rollout status` shows them",
        )  # fmt: skip
    return found[0]


def _candidate(serving: Serving, records: tuple[RolloutRecord, ...]) -> str:
    """Return the digest that is on its way; of a promotion that is done already, the one that it promoted."""
    last, main, found = history.last_move(records), serving.main(), traffic.candidate_of(serving)
    if last is not None and last.step == "start" and serving.is_ready(last.digest):
        return last.digest
    if found is not None:
        return found.digest
    if last is not None and main is not None and last.step == "promote" and last.digest == main.digest:
        return main.digest
    raise UserError(
        "there is no candidate to promote",
        got=traffic.told(serving),
        fix="`mlopt rollout start ARTIFACT` brings one up",
    )


def _already_back(serving: Serving, records: tuple[RolloutRecord, ...]) -> StepDone:
    last = history.last_move(records)
    if last is None:
        raise UserError(
            "the ledger knows nothing that served before", got=traffic.told(serving),
            fix="name it with --digest, or give the ledger of this target with --ledger",
        )  # fmt: skip
    return StepDone("rollback", last.digest, False, serving, serving)
