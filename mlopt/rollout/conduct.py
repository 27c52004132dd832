"""Carrying a step out: written in the ledger before and after, and undone where it fails half-way.

A step asks the target what it holds, and does only what is missing: so it can be given again, whatever became of it
the first time, and a step that was killed is finished by the same command.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from mlopt.artifact.signing.base import Trust
from mlopt.artifact.signing.signers import Signer
from mlopt.core.errors import MloptError, Problem, UserError
from mlopt.rollout import history, ledger
from mlopt.rollout.chain import Phase, RolloutRecord, RolloutStep, ServedShare
from mlopt.rollout.target import RolloutTarget
from mlopt.rollout.traffic import Serving, TrafficPlan, TrafficSplit, same, told


@dataclass(frozen=True)
class LedgerBook:
    """A ledger, and who writes into it."""

    path: Path
    trust: Trust
    signer: Signer

    def records(self, target: RolloutTarget) -> tuple[RolloutRecord, ...]:
        """Return what it says of a target's model; nothing where there is no ledger yet."""
        content = ledger.read(self.path, self.trust, missing_ok=True)
        return history.of(content.records, target.name, target.model)

    def write(self, said: Mapping[str, Any]) -> RolloutRecord:
        """Add a line."""
        return ledger.append(self.path, self.trust, self.signer, dict(said)).record

    @contextmanager
    def stepping(self) -> Iterator[None]:
        """Keep others from stepping meanwhile."""
        with ledger.stepping(self.path):
            yield


@dataclass(frozen=True)
class Wish:
    """A step that somebody asks for."""

    step: RolloutStep
    digest: str
    why: str
    plan: Callable[[Serving], TrafficPlan]
    artifact: str | None = None
    """Where the target can load the digest from."""
    detail: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True)
class StepDone:
    """How a step ended."""

    step: RolloutStep
    digest: str
    changed: bool
    """False where all was as wished already."""
    before: Serving
    after: Serving


def carry_out(target: RolloutTarget, book: LedgerBook, wish: Wish) -> StepDone:
    """Bring the target to what is wished; the caller holds ``book.stepping()``.

    Where something fails, what served before serves again, the ledger has it, and the error says so.
    """
    before = target.serving()
    plan = wish.plan(before)
    open_step = history.unfinished(book.records(target))
    if not plan and open_step is None:
        return StepDone(wish.step, wish.digest, False, before, before)
    wanted = plan.shift or before.traffic
    line = _Line(book, target, wish, before.shares)
    line.write("begun", wanted.shares)
    try:
        after = _do(target, plan, wanted, wish)
    except MloptError as error:
        raise _undone(error, target, before, line) from error
    line.write("done", after.shares)
    return StepDone(wish.step, wish.digest, bool(plan), before, after)


def note(target: RolloutTarget, book: LedgerBook, wish: Wish) -> RolloutRecord:
    """Write a step that changes nothing, such as a hold or a look; ``wish.plan`` is not asked."""
    shares = target.serving().shares
    return _Line(book, target, wish, shares).write("done", shares)


def _do(target: RolloutTarget, plan: TrafficPlan, wanted: TrafficSplit, wish: Wish) -> Serving:
    if plan.load is not None:
        target.load(wish.artifact, plan.load, older=wish.step == "rollback")
    if plan.shift is not None:
        target.shift(plan.shift)
    found = target.serving()
    if not same(found.traffic, wanted):
        raise UserError(
            "the target does not share requests out as it was told", where=target.name, got=told(found),
            expected=", ".join(f"{digest[:12]} {share} %" for digest, share in wanted.weights.items()),
        )  # fmt: skip
    for digest in plan.unload:
        target.unload(digest)
    return target.serving() if plan.unload else found


@dataclass(frozen=True)
class _Line:
    """What all lines of one step have in common."""

    book: LedgerBook
    target: RolloutTarget
    wish: Wish
    before: dict[str, ServedShare]
    run: str = field(default_factory=lambda: os.urandom(8).hex())

    def write(self, phase: Phase, after: dict[str, ServedShare], **detail: JsonValue) -> RolloutRecord:
        wish = self.wish
        return self.book.write(
            {
                "target": self.target.name, "model": self.target.model, "run": self.run, "step": wish.step,
                "phase": phase, "digest": wish.digest, "before": self.before, "after": after, "why": wish.why,
                "artifact": wish.artifact, "detail": {**wish.detail, **detail},
            }
        )  # fmt: skip


def _undone(error: MloptError, target: RolloutTarget, before: Serving, line: _Line) -> MloptError:
    """Go back to what served before, and return the error with what serves now."""
    found, trouble = _restored(target, before)
    outcome = Problem(
        "the step failed, and what served before serves" if found is not None and same(found.traffic, before.traffic)
        else "the step failed, and the target could not be brought back to what served before",
        where=target.name, got=told(found) if found is not None else trouble, expected=told(before),
    )  # fmt: skip
    try:
        line.write("failed", found.shares if found is not None else {}, error=str(error)[:1000])
    except MloptError as unwritten:
        return type(error).of([*error.problems, outcome, *unwritten.problems])
    return type(error).of([*error.problems, outcome])


def _restored(target: RolloutTarget, before: Serving) -> tuple[Serving | None, str]:
    """Return what serves after the attempt, and what went wrong with it."""
    try:
        found = target.serving()
        if not same(found.traffic, before.traffic):
            target.shift(before.traffic)
            found = target.serving()
    except MloptError as error:
        return None, error.brief
    return found, ""
