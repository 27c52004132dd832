"""The search: points are proposed, tried by ever dearer looks, and told of, until time, points or hope are spent.

1. Built, calibrated on few samples where that spares time, and looked at for a moment on a few others: what is plainly
   wrong, or plainly slower than the best so far, goes no further.
2. Built whole, and held against the gates on quality and size, on all evaluation samples.
3. What is valid and may be the fastest races beside the baseline, in processes of their own.

What the trials say is about which points are worth a longer measurement, and no more than that: what is shipped is
decided by another race (``mlopt.tune.finish``).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import JsonValue

from mlopt.core.target import Objective
from mlopt.results.study import TrialRecord
from mlopt.tune.executor import Call, Done, Executor
from mlopt.tune.journal import Journal, Proposed
from mlopt.tune.space import key_of

Why = Literal["budget", "converged", "exhausted", "trials"]
_IN_DOUBT, _FAR = 1.25, 2.0
"""How far from the truth the time of a look may be; and how much slower than the best is plainly slower."""
_MOVES, _RACED = 1.01, 2
"""What is so many times as fast, or as small, as all before has moved the front."""


@dataclass(frozen=True)
class Limits:
    """What ends a search. ``clock`` gives seconds since the epoch."""

    deadline: float
    """When no trial is begun any more, by that clock."""
    trials: int | None = None
    """The most trials of the study, earlier runs included."""
    patience: int | None = None
    """So many trials after the front has moved for the last time, hope is lost; None: never."""
    clock: Callable[[], float] = time.time


@dataclass
class _Attempt:
    """A point on its way."""

    proposed: Proposed
    began: float
    node: str = ""
    rung: int = 0
    cause: str | None = None
    failed: bool = False
    found: dict[str, Any] = field(default_factory=dict)
    """What is known so far, by the names of ``TrialRecord``."""
    ways: list[dict[str, Any]] = field(default_factory=list)
    """How it may be opened, the quickest first."""

    @property
    def point(self) -> dict[str, JsonValue]:
        return self.proposed.point

    @property
    def going(self) -> bool:
        return self.cause is None

    def give_up(self, cause: str, *, failed: bool = False) -> None:
        self.cause, self.failed = cause, failed


@dataclass
class StudySearch:
    """One run of a study; ``tell`` gets a line about what is done, ``moved`` each record that is the best so far."""

    executor: Executor
    journal: Journal
    limits: Limits
    objective: Objective
    began: float
    """When the study began, in seconds since the epoch: its runs put end to end."""
    tell: Callable[[str], None]
    moved: Callable[[TrialRecord], None]

    def run(self) -> Why:
        """Try points until there is a reason to stop."""
        while True:
            if (why := self._over()) is not None:
                return why
            left = math.inf if self.limits.trials is None else self.limits.trials - len(self.journal.records)
            batch = self.journal.ask(int(min(self.executor.slots, left)))
            if not batch:
                return "exhausted"
            self.attempt(batch)

    def attempt(self, batch: Sequence[Proposed]) -> None:
        """Try some points, as far as each is worth it, and journal what became of them."""
        attempts = [_Attempt(each, self.limits.clock()) for each in batch]
        self._build(attempts, cheap=True)
        self._look(attempts)
        self._build([each for each in attempts if not each.found.get("whole")], cheap=False)
        self._judge(attempts)
        if self.objective is not Objective.SIZE:
            self._race(attempts)
        for each in attempts:
            self.tell_of(self._record(each))

    def tell_of(self, record: TrialRecord) -> None:
        """Journal a trial that was asked for, and say so if it is the best so far."""
        before = self.best
        self.journal.tell(record, self._value(record), infeasible=record.valid is not True)
        if (now := self.best) is not None and now != before:
            self.moved(now)

    @property
    def best(self) -> TrialRecord | None:
        """The best valid trial so far."""
        able = [each for each in self.journal.records if each.valid and self._merit(each) is not None]
        return max(able, key=lambda each: self._merit(each) or 0.0, default=None)

    def ranked(self) -> list[TrialRecord]:
        """Return the valid trials that were raced, or for size built, the best first."""
        able = [each for each in self.journal.records if each.valid and self._merit(each) is not None]
        return sorted(able, key=lambda each: -(self._merit(each) or 0.0))

    def _merit(self, record: TrialRecord) -> float | None:
        """Return what is to be large.

        Of a trial that raced that is one over its own time: a race is short, and its ratio to the baseline has the
        noise of both.
        """
        if self.objective is Objective.SIZE:
            return 1 / record.size_bytes if record.size_bytes else None
        return 1 / record.latency_ms if record.latency_ms and record.rung == _RACED else None

    def _value(self, record: TrialRecord) -> float | None:
        """Return what is to be small: the logarithm of time or size."""
        figure = record.size_bytes if self.objective is Objective.SIZE else record.latency_ms
        return math.log(figure) if figure else None

    def _over(self) -> Why | None:
        records, limits = self.journal.records, self.limits
        if limits.trials is not None and len(records) >= limits.trials:
            return "trials"
        if limits.clock() >= limits.deadline:
            return "budget"
        if limits.patience is not None and len(records) - self._last_moved() > limits.patience:
            return "converged"
        return None

    def _last_moved(self) -> int:
        """Return after how many trials the best, or the smallest, last was better than before by more than nothing."""
        last, most, least = 0, 0.0, math.inf
        for number, each in enumerate(self.journal.records, 1):
            if each.valid:
                merit, size = self._merit(each) or 0.0, each.size_bytes or math.inf
                if merit > most * _MOVES or size * _MOVES < least:
                    last = number
                most, least = max(most, merit), min(least, size)
        return last

    def _build(self, attempts: Sequence[_Attempt], *, cheap: bool) -> None:
        going = [each for each in attempts if each.going]
        self._say("building", going)
        for each, done in self._done(going, "build", lambda one: (one.point, cheap)):
            if done.error is not None:
                each.give_up(done.error, failed=True)
            else:
                each.found |= done.value
                self._same(each, going)

    def _look(self, attempts: Sequence[_Attempt]) -> None:
        going = [each for each in attempts if each.going]
        self._say("looking at", going)
        cheap = {id(each): not each.found.get("whole") for each in going}
        for each, done in self._done(going, "look", lambda one: (one.point, cheap[id(one)]), alone=True):
            if done.error is not None:
                each.give_up(done.error, failed=True)
                continue
            seen = [way for way in done.value if way["why_not"] is None]
            each.ways = sorted(seen, key=lambda way: way["ms"])
            if not seen:
                told = [way["why_not"] for way in done.value]
                each.give_up(told[0], failed=all(way["ms"] is None for way in done.value))
                continue
            each.found["latency_ms"] = each.ways[0]["ms"]
            self._too_slow(each)

    def _too_slow(self, each: _Attempt) -> None:
        """Give up what takes far longer than the best, unless it is smaller than all that are valid."""
        best, ms = self.best, each.ways[0]["ms"]
        if best is None or best.latency_ms is None or ms <= _FAR * best.latency_ms:
            return
        sizes = [record.size_bytes for record in self.journal.records if record.valid and record.size_bytes]
        if each.found["size_bytes"] >= min(sizes, default=math.inf):
            each.give_up(f"slower at first sight: {ms:.3g} ms, the best takes {best.latency_ms:.3g}")

    def _judge(self, attempts: Sequence[_Attempt]) -> None:
        """Find for each the quickest way to open it that keeps the gates."""
        going = [each for each in attempts if each.going]
        self._say("judging", going)
        waiting = {id(each): list(each.ways) for each in going}
        while going:
            for each, done in self._done(going, "judge", lambda one: (one.point, waiting[id(one)][0]["options"])):
                way = waiting[id(each)].pop(0)
                each.rung = 1
                verdict = done.value or {"why_not": done.error}
                if verdict["why_not"] is None or not waiting[id(each)]:
                    each.found |= {**verdict, "options": way["options"], "valid": verdict["why_not"] is None}
                    each.found["latency_ms"] = way["ms"]
                    waiting[id(each)].clear()
            going = [each for each in going if waiting[id(each)]]

    def _race(self, attempts: Sequence[_Attempt]) -> None:
        """Measure those that may be the best, together."""
        best = self.best
        bound = math.inf if best is None or best.latency_ms is None else _IN_DOUBT * best.latency_ms
        field_ = []
        for each in attempts:
            if each.going and each.found.get("valid") and "speedup" not in each.found:
                if each.found["latency_ms"] <= bound:
                    field_.append(each)
                else:
                    each.give_up(f"slower at first sight: {each.found['latency_ms']:.3g} ms, the best takes "
                                 f"{bound / _IN_DOUBT:.3g}")  # fmt: skip
        if not field_:
            return
        self._say("racing", field_)
        named = {f"trial {each.proposed.number}": each for each in field_}
        entries = [(name, each.point, each.found["options"]) for name, each in named.items()]
        for done in self.executor.run([Call("race", (entries,), alone=True)]):
            for name, each in named.items():
                each.node = done.node
                figures = (done.value or {}).get(name, {"lost": done.error})
                if "lost" in figures:
                    each.give_up(f"lost in the race: {figures['lost']}", failed=True)
                    each.found["valid"] = False
                else:
                    each.rung = _RACED
                    each.found |= figures

    def _same(self, each: _Attempt, beside: Sequence[_Attempt]) -> None:
        """Give up what came to a model that is tried already, in the same runtime with the same change of options."""
        if not each.found.get("whole"):
            return
        known = [
            (other.proposed.number, other.found.get("digest"), other.found.get("runtime"), other.point)
            for other in beside if other is not each and other.going and other.found.get("whole")
        ]  # fmt: skip
        known += [(old.number, old.digest, old.runtime, old.params) for old in self.journal.records if old.rung > 0]
        wanted = each.found["digest"], each.found["runtime"], _session(each.point)
        for number, digest, runtime, point in known:
            if (digest, runtime, _session(point)) == wanted:
                each.give_up(f"it comes to the same model as trial {number}")
                return

    def _done(
        self, attempts: Sequence[_Attempt], method: str, args: Callable[[_Attempt], tuple[Any, ...]],
        *, alone: bool = False,
    ) -> Iterator[tuple[_Attempt, Done]]:  # fmt: skip
        """Yield what becomes of a call for each attempt."""
        calls = [Call(method, args(each), alone) for each in attempts]
        waiting = list(zip(calls, attempts, strict=True))
        for done in self.executor.run(calls):
            at = next(number for number, (call, _) in enumerate(waiting) if call is done.call or call == done.call)
            _, each = waiting.pop(at)
            each.node = done.node
            yield each, done

    def _record(self, each: _Attempt) -> TrialRecord:
        known = {key: value for key, value in each.found.items() if key in TrialRecord.model_fields}
        known["runtime"] = each.found.get("runtime", each.point.get("target.runtime"))
        status = (
            "failed" if each.failed else "measured" if each.rung == _RACED or each.found.get("valid") else "stopped"
        )
        return TrialRecord.model_validate({
            **known, "number": each.proposed.number, "params": each.point, "origin": each.proposed.origin,
            "status": status, "cause": each.cause or each.found.get("why_not"), "rung": each.rung,
            "began_s": round(each.began - self.began, 2), "seconds": round(self.limits.clock() - each.began, 2),
            "node": each.node or "local",
        })  # fmt: skip

    def _say(self, what: str, attempts: Sequence[_Attempt]) -> None:
        if attempts:
            best = self.best
            numbers = ", ".join(str(each.proposed.number) for each in attempts)
            so_far = f"; best {best.speedup:.2f}x" if best is not None and best.speedup else ""
            self.tell(f"{what} trial {numbers}{so_far}")


def _session(point: Any) -> str:
    return key_of({name: value for name, value in point.items() if name.startswith("session.")})
