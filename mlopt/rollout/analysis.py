"""Looking at a candidate while it serves, until it passes, fails or time is up; and acting on that, if it is wished."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from pydantic import JsonValue

from mlopt.core.errors import MeasureError, UserError
from mlopt.results.section import Verdict
from mlopt.rollout import history, traffic
from mlopt.rollout.chain import RolloutRecord
from mlopt.rollout.comparison import CanaryFinding, CanaryLimits, judge, overall
from mlopt.rollout.conduct import LedgerBook, StepDone, Wish, note
from mlopt.rollout.observed import Observed, restarted, since, together
from mlopt.rollout.probe import AnswerProbe
from mlopt.rollout.steps import promote, rollback, whole
from mlopt.rollout.target import RolloutTarget
from mlopt.run.timeline import Notify


@dataclass(frozen=True)
class Watching:
    """How long and how often."""

    seconds: float = 60.0
    every: float = 5.0
    act: bool = False
    """A fail rolls back, a pass promotes."""
    digest: str | None = None
    """The candidate, where it is not the one beside what serves."""
    probe: AnswerProbe | None = None
    """Rows that both are asked at each look, so that answers are compared."""
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    notify: Notify = lambda *_: None
    """Called with what is done, the look at hand and the share of the time that is over."""


@dataclass
class _Windows:
    """What was counted of both since the first reading."""

    last: Mapping[str, Observed]
    found: dict[str, list[Observed]] = field(default_factory=dict)
    restarts: int = 0

    def add(self, now: Mapping[str, Observed], digests: tuple[str, str]) -> None:
        for digest in digests:
            before, late = self.last.get(digest), now.get(digest, Observed())
            self.restarts += before is not None and restarted(before, late)
            self.found.setdefault(digest, []).append(since(before, late))
        self.last = now


@dataclass(frozen=True)
class CanaryAnalysis:
    """What came of it."""

    stable: str
    candidate: str
    verdict: Verdict
    findings: tuple[CanaryFinding, ...]
    looks: int
    spent: int
    """Looks at this candidate before these: they have used up part of the error rate."""
    seconds: float
    restarts: int
    """How often a server began anew meanwhile; its counts before are kept."""
    compared: bool
    """Whether answers were: else nothing is known of wrong ones."""
    acted: StepDone | None = None
    held: bool = False
    """A pass that did not promote, as somebody holds the rollout."""

    @property
    def why(self) -> str:
        """The reason for the ledger."""
        telling = [each for each in self.findings if each.verdict == self.verdict] or list(self.findings)
        return f"analysis: {self.verdict}; " + "; ".join(" ".join(each.text.split()) for each in telling)[:1500]


def analyze(target: RolloutTarget, book: LedgerBook, limits: CanaryLimits, watching: Watching) -> CanaryAnalysis:
    """Compare the candidate with what serves; what is found is written in the ledger.

    Raises ``UserError`` where there are not two versions to compare.
    """
    records = book.records(target)
    stable, candidate = _two(target, records, watching.digest)
    found = _watched(target, (stable, candidate), limits, watching, history.looks_spent(records, candidate))
    wish = Wish("analyze", candidate, found.why, lambda _: traffic.TrafficPlan(), detail=_detail(found))
    with book.stepping():
        note(target, book, wish)
    return _acted(target, book, found) if watching.act else found


def _two(target: RolloutTarget, records: tuple[RolloutRecord, ...], wanted: str | None) -> tuple[str, str]:
    serving = target.serving()
    candidate = traffic.candidate_of(serving)
    digest = whole(wanted, serving, records) if wanted else candidate.digest if candidate else None
    stable = serving.main(besides=digest or "")
    if digest is None or stable is None:
        raise UserError(
            "there is no candidate beside what serves", where=target.name, got=traffic.told(serving),
            expected="two versions that get requests, or copies", fix="mlopt rollout start ARTIFACT --share 10",
        )  # fmt: skip
    return stable.digest, digest


def _watched(
    target: RolloutTarget, digests: tuple[str, str], limits: CanaryLimits, watching: Watching, spent: int
) -> CanaryAnalysis:
    windows, began, looks = _Windows(target.observed()), watching.clock(), 0
    findings: tuple[CanaryFinding, ...] = ()
    verdict: Verdict = "inconclusive"
    while verdict == "inconclusive" and watching.clock() - began < watching.seconds - 1e-6:
        watching.notify("compare", f"look {looks + 1}", (watching.clock() - began) / watching.seconds)
        watching.sleep(min(watching.every, watching.seconds - (watching.clock() - began)))
        windows.add(target.observed(), digests)
        if watching.probe is not None:
            asked = watching.probe.look(*map(target.address, digests))
            windows.found[digests[1]][-1] = together([windows.found[digests[1]][-1], asked])
        looks += 1
        stable, candidate = (windows.found[each] for each in digests)
        findings = judge(stable, candidate, limits, spent + looks)
        verdict = overall(findings)
    if not findings:
        raise MeasureError("there was no time for a look", expected="--for longer than nothing")
    compared = any(each.metric.startswith("answers") for each in findings)
    seconds = watching.clock() - began
    return CanaryAnalysis(*digests, verdict, findings, looks, spent=spent, seconds=seconds,
                          restarts=windows.restarts, compared=compared)  # fmt: skip


def _acted(target: RolloutTarget, book: LedgerBook, found: CanaryAnalysis) -> CanaryAnalysis:
    if found.verdict == "fail":
        return replace(found, acted=rollback(target, book, found.why, digest=found.stable))
    if found.verdict == "inconclusive":
        return found
    if history.is_held(book.records(target)):
        return replace(found, held=True)
    return replace(found, acted=promote(target, book, found.why, digest=found.candidate))


def _detail(found: CanaryAnalysis) -> dict[str, JsonValue]:
    return {
        "verdict": found.verdict, "looks": found.looks, "looks before": found.spent,
        "stable": found.stable, "seconds": round(found.seconds, 3), "findings": [each.text for each in found.findings],
    }  # fmt: skip
