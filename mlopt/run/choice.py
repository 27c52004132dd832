"""What is shipped, by which steps it came to be, and what is measured beside it; chosen anew if the release says so.

The search stops where its short races cannot tell two deployables apart. The comparison of the release measures them
once more, for longer: one that is measurably faster there takes the place of the one that was chosen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mlopt.core.errors import MeasureError
from mlopt.measure import figures, statistics
from mlopt.measure.candidate import Measured, Run
from mlopt.recipe.schema import Recipe
from mlopt.report.control import beyond_noise
from mlopt.results.report import Tried
from mlopt.results.roles import BASELINE, COMPILED, FASTEST, FINAL
from mlopt.run.forms import Entrant, Selected
from mlopt.run.outcomes import Outcome, Way
from mlopt.run.report_builder import ROLES, CandidateSet, candidate_set
from mlopt.runtimes.base import Deployable
from mlopt.runtimes.torch import under_compile


@dataclass(frozen=True)
class Choice:
    """What the stages after the search work with."""

    baseline: Deployable
    """The source as it is only exported, run as it is by default."""
    outcomes: tuple[Outcome, ...]
    """The steps of the recipe, with what is shipped as the result of the last that is kept."""
    start: Deployable
    """How the source is run: what is shipped, if no step is kept."""
    rivals: Mapping[str, Entrant] = field(default_factory=dict)
    """What is measured beside it, since the search could not tell them apart, by the name that it has there."""
    fastest: Entrant | None = None
    """The fastest unchanged source."""
    tried: tuple[Tried, ...] = ()
    spent: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    spare: Choice | None = None
    """What the first way came to, if something else is shipped."""

    @property
    def final(self) -> Deployable:
        """What is shipped."""
        return next((each.kept for each in reversed(self.outcomes) if each.kept is not None), self.start)

    @property
    def beside(self) -> dict[str, Deployable]:
        """What is measured besides the steps of the chain, by name."""
        fastest = {} if self.fastest is None else {FASTEST: self.fastest.deployable}
        return fastest | {name: each.deployable for name, each in self.rivals.items()}

    def candidate_set(self, source: Deployable, recipe: Recipe) -> CandidateSet:
        """Return what a run measures: all of it, and the references that the recipe asks for."""
        compiled = {COMPILED: under_compile(source)} if COMPILED in recipe.references else {}
        return candidate_set(
            source, self.outcomes, recipe.target.batch_size, self.baseline, self.start, compiled | self.beside,
            clients=recipe.target.clients,
        )  # fmt: skip


def of_way(way: Way, baseline: Deployable, notes: Sequence[str]) -> Choice:
    """Return what there is where nothing was left to choose: what the chain came to."""
    return Choice(baseline, way.outcomes, way.start, notes=tuple(notes))


def of_search(found: Selected, way: Way, baseline: Deployable, notes: Sequence[str]) -> Choice:
    """Return what a search found; if nothing keeps the gates, what the first way came to, for the gates to say so."""
    chosen = of_way(way, baseline, notes)
    return replace(
        chosen if found.shipped is None else _shipping(chosen, found.shipped),
        rivals={f"runner-up ({number})": each for number, each in enumerate(found.finalists, 1)},
        fastest=found.fastest_source,
        tried=found.tried, spent=found.spent, spare=chosen,
    )  # fmt: skip


def without(choice: Choice, error: MeasureError) -> Choice:
    """Return what is shipped if what was chosen died while the release was measured; raises ``error`` if it did not.

    No look and no race may have lasted as long. What the first way came to is as good as if there had been no search.
    """
    cause = next((each.got for each in error.problems if each.where == FINAL), None)
    spare, lost = choice.spare, choice.final
    if cause is None or spare is None or spare.final.identity == lost.identity:
        raise error
    why = f"lost in the last comparison: {cause}"
    tried = (each.model_copy(update={"why_not": why}) if _key_of(each) == _key(lost) else each for each in choice.tried)
    told = f"what the search had chosen, in {lost.runtime}, was {why}; what the chain came to is shipped"
    return replace(
        spare, tried=tuple(_shipped_now(each, spare.final) for each in tried), spent=choice.spent,
        notes=(*choice.notes, told),
    )  # fmt: skip


def _shipped_now(tried: Tried, shipped: Deployable) -> Tried:
    """Take back what speaks against what is shipped now, unless it is that it does not keep the gates."""
    taken = _key_of(tried) == _key(shipped) and tried.valid is not False
    return tried.model_copy(update={"why_not": None}) if taken else tried


def _shipping(choice: Choice, entrant: Entrant) -> Choice:
    return replace(choice, outcomes=entrant.form.outcomes(entrant.deployable), start=entrant.deployable)


def settled(choice: Choice, run: Run) -> tuple[Choice, Run]:
    """Return choice and run with the fastest of the release's comparison as the final model."""
    alpha = statistics.ALPHA / run.looks_planned
    rivals = dict(choice.rivals)
    if choice.fastest is not None and choice.fastest.shippable:
        rivals[FASTEST] = choice.fastest
    there = [name for name in rivals if name in run.measured]
    speeds = {name: figures.speedup(run.measured, FINAL, name, ROLES, alpha) for name in there}
    faster = {name: speed.median for name, speed in speeds.items() if beyond_noise(speed) > 0}
    choice = replace(choice, tried=_measured(choice.tried, run, alpha))
    if not faster:
        return choice, _with_fastest(choice, run)
    best = max(faster, key=faster.__getitem__)
    times, rival = f"{speeds[best].median:.2f}x", rivals[best]
    told = f"the last comparison showed {rival.told}, to be {times} as fast as what the search had chosen"
    tried = _reassigned(choice.tried, rival.deployable, times)
    new = replace(_shipping(choice, rival), tried=tried, notes=(*choice.notes, told))
    return new, _with_fastest(choice, _with_final(run, best))


def worth(tried: Sequence[Tried]) -> Iterator[str]:
    """Yield where an engine beside the model, in another precision, is faster than what the steps came to."""
    seen = [each for each in tried if each.latency_ms is not None and "precision" in each.options]
    for other in (each for each in seen if each.options["precision"] is not None):
        alike = [each for each in seen if (each.runtime, each.digest) == (other.runtime, other.digest)]
        own = min((each.latency_ms or 0.0 for each in alike if each.options["precision"] is None), default=0.0)
        if (ms := other.latency_ms or 0.0) < own:
            yield (
                f"in {other.runtime}, {other.options['precision']} is faster than what the steps came to: {ms:.3g} "
                f"against {own:.3g} ms"
            )


def _measured(tried: Sequence[Tried], run: Run, alpha: float) -> tuple[Tried, ...]:
    """Return what was tried with the figures of the release, where that measured it."""
    of_release = {_key(each.candidate.deployable): _figures(each, run, alpha) for each in run.measured.values()}
    return tuple(each.model_copy(update=of_release.get(_key_of(each), {})) for each in tried)


def _figures(found: Measured, run: Run, alpha: float) -> dict[str, Any]:
    middle, low, high = statistics.speedup(run.measured[BASELINE].blocks, found.blocks, alpha)
    return {"latency_ms": statistics.latency(found.blocks, alpha).p50, "speedup": middle, "ci95": (low, high)}


def _key(one: Deployable) -> tuple[str, str, str]:
    return one.model.digest, one.runtime, json.dumps(one.options.model_dump(mode="json"), sort_keys=True)


def _key_of(tried: Tried) -> tuple[str, str, str]:
    return tried.digest, tried.runtime, json.dumps(tried.options, sort_keys=True)


def _with_fastest(choice: Choice, run: Run) -> Run:
    """Name what was measured under another name: the fastest source may be what is shipped."""
    if choice.fastest is None or FASTEST in run.measured:
        return run
    wanted = choice.fastest.deployable.identity
    same = [name for name, each in run.measured.items() if each.candidate.deployable.identity == wanted]
    if not same or BASELINE in same:
        return run
    return replace(run, measured={**run.measured, FASTEST: run.measured[same[0]]})


def _with_final(run: Run, best: str) -> Run:
    """Let a candidate be the final one; the one that was takes its name, unless that is a reference's."""
    names = {FINAL: "chosen before" if best == FASTEST else best, best: FINAL}
    measured = {
        names.get(name, name): replace(each, candidate=replace(each.candidate, name=names.get(name, name)))
        for name, each in run.measured.items()
    }
    return replace(run, measured=measured)


def _reassigned(tried: Sequence[Tried], shipped: Deployable, times: str) -> tuple[Tried, ...]:
    """Say of what was tried which is shipped now."""
    slower = f"slower in the last comparison, in which the shipped one was {times} as fast"
    return tuple(
        each.model_copy(update={"why_not": None})
        if _key_of(each) == _key(shipped)
        else each.model_copy(update={"why_not": each.why_not or slower})
        for each in tried
    )
