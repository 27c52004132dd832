"""What the ledger's records answer: pure questions about one model at one target."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mlopt.rollout.chain import RolloutRecord, ServedShare

_MOVES = ("start", "promote", "rollback", "tag")
"""The steps that change who serves."""


def of(records: Iterable[RolloutRecord], target: str, model: str) -> tuple[RolloutRecord, ...]:
    """Return the records of one model at one target, in their order."""
    return tuple(each for each in records if each.target == target and each.model == model)


def last_move(records: Sequence[RolloutRecord]) -> RolloutRecord | None:
    """Return the last step that changed who serves, or may have: one that began and was cut off counts."""
    failed = {each.run for each in records if each.phase == "failed"}
    moves = [each for each in records if each.step in _MOVES and each.run not in failed]
    return moves[-1] if moves else None


def unfinished(records: Sequence[RolloutRecord]) -> RolloutRecord | None:
    """Return the last step if it began and nothing says how it ended: its process was killed."""
    moves = [each for each in records if each.step in _MOVES]
    return moves[-1] if moves and moves[-1].phase == "begun" else None


def way_back(records: Sequence[RolloutRecord]) -> str | None:
    """Return the digest that served before the last move.

    None where the last move was a rollback that ended, or where there was none: going back twice would bring the
    candidate in again. One that was cut off leads where it was meant to.
    """
    last = last_move(records)
    if last is None:
        return None
    if last.step == "rollback":
        return last.digest if last.phase == "begun" else None
    return _main(last.before, besides=last.digest)


def served(records: Sequence[RolloutRecord]) -> tuple[str, ...]:
    """Return every digest that had traffic, the latest last."""
    found: dict[str, None] = {}
    for record in records:
        for digest, share in (*record.before.items(), *(record.after.items() if record.phase == "done" else ())):
            if share.weight:
                found.pop(digest, None)
                found[digest] = None
    return tuple(found)


def artifact_of(records: Sequence[RolloutRecord], digest: str) -> str | None:
    """Return the directory from which a digest was loaded last."""
    found = [each.artifact for each in records if each.digest == digest and each.artifact is not None]
    return found[-1] if found else None


def is_held(records: Sequence[RolloutRecord]) -> bool:
    """Whether somebody asked to leave the shares as they are, and nobody moved since."""
    moves = [each for each in records if each.step in (*_MOVES, "hold") and each.phase == "done"]
    return bool(moves) and moves[-1].step == "hold"


def looks_spent(records: Sequence[RolloutRecord], digest: str) -> int:
    """Return how often a candidate was looked at since it was started last."""
    starts = [each.number for each in records if each.step == "start" and each.digest == digest]
    since = [each for each in records if each.step == "analyze" and each.number > max(starts, default=-1)]
    counts = [each.detail.get("looks", 0) for each in since if each.digest == digest]
    return sum(count for count in counts if isinstance(count, int))


def _main(shares: dict[str, ServedShare], besides: str) -> str | None:
    some = {digest: share.weight for digest, share in shares.items() if share.weight and digest != besides}
    return max(some, key=lambda digest: some[digest], default=None)
