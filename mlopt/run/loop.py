"""The loop over the steps of a chain, which keeps the best valid model so far.

An optional step that fails, refuses or does not help is left out with its reason; a required one that fails ends the
run. Whether a step helps is asked of what can be shipped: after a step that leaves a PyTorch model, or turns one into
something else, the required steps that follow are run on both ways, with the step and without it, until both have
come to such a model, and these two are compared. What no comparison reaches is not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from mlopt.core.errors import MloptError, PassError
from mlopt.core.target import Target
from mlopt.formats.model import ONNX, TORCH, Kind
from mlopt.recipe.schema import Step
from mlopt.run.chain import a_kind, unrun
from mlopt.run.outcomes import Outcome, Trial, TrialVerdict
from mlopt.run.step import Job, detail_of, held
from mlopt.runtimes.base import Deployable, Identity

Notify = Callable[[str], None]


def run(source: Deployable, steps: Sequence[Step], job: Job, trial: Trial | None, notify: Notify) -> Iterator[Outcome]:
    """Yield the outcome of each step, in order; the last outcome that was kept is what the chain came to.

    Without a guard, what an optional step wrote is kept. Raises ``PassError`` when a required step fails or refuses, or
    takes no model of the kind that there is.
    """
    loop, best = _Loop(steps, job, notify), source
    passed_by: dict[Kind, str] = {}  # the kinds that optional steps led away from, and which step each
    left_out: Outcome | None = None
    for number, step in enumerate(steps):
        notify(f"{step.name} ({number + 1} of {len(steps)})")
        pass_ = job.passes[step.name]
        if (reason := job.skips(step) or (job.spent() if step.optional else None)) is not None:
            yield Outcome(step, pass_.version, "refused", reason)
            continue
        if best.model.kind not in pass_.accepts:
            yield _unfit(best, number, step, job, passed_by, left_out)
            continue
        if pass_.lossy and best.model.kind == ONNX and loop.job.exact is None:
            loop = loop.knowing(best)
        if pass_.lossy or step.config.searches:
            best = job.prefer(best)
        outcome = loop.outcome(best, number)
        if step.optional and outcome.kept is not None and trial is not None:
            outcome = loop.judged(best, outcome.kept, number, outcome, trial)
        yield outcome
        if outcome.kept is None:
            left_out = outcome
            continue
        if step.optional and outcome.kept.model.kind != best.model.kind:
            passed_by[best.model.kind] = step.name
        best = outcome.kept


def final(source: Deployable, outcomes: Sequence[Outcome], target: Target) -> Deployable:
    """Return what the chain came to; raises ``PassError`` if that is nothing to ship."""
    end = next((each.kept for each in reversed(outcomes) if each.kept is not None), source)
    problem = unrun(end.model.kind, "the passes", target)
    if problem is None:
        return end
    left = [f"'{each.step.name}' was {each.status}: {each.reason}" for each in outcomes if each.kept is None]
    got = "; ".join((f"{a_kind(end.model.kind)} model", *left))
    raise PassError.of([replace(problem, got=got, fix="add a required `export` to the passes")])


@dataclass(frozen=True)
class _Loop:
    steps: Sequence[Step]
    job: Job
    notify: Notify
    ahead: dict[tuple[int, Identity], Outcome] = field(default_factory=dict)
    """What steps came to that were run for a comparison, by their number and the identity of their input."""
    enabled_by: dict[int, str] = field(default_factory=dict)
    """Of a step that works only after an optional one: that one's name, by the step's number."""

    def knowing(self, exact: Deployable) -> _Loop:
        """Return the same with the model before the first lossy step."""
        return replace(self, job=replace(self.job, exact=exact.model, exact_digest=exact.model.digest))

    def outcome(self, model: Deployable, number: int) -> Outcome:
        """Run a step, unless a comparison has done so in this run."""
        found = self.ahead.get((number, model.identity))
        try:
            return found or held(model, number, self.steps[number], self.job)
        except PassError as error:
            if (name := self.enabled_by.get(number)) is None:
                raise
            fix = f"leave `optional` out of '{name}', after which '{self.steps[number].name}' works"
            raise PassError.of(
                replace(each, fix=f"{fix}; or {each.fix}" if each.fix else fix) for each in error.problems
            ) from error

    def judged(self, best: Deployable, model: Deployable, number: int, outcome: Outcome, trial: Trial) -> Outcome:
        """Hold what an optional step wrote against the model before it."""
        verdict = self._verdict(best, model, number, trial)
        if verdict.reason is None:
            return replace(outcome, trial=verdict)
        return replace(outcome, trial=verdict, status="dropped", reason=verdict.reason)

    def _verdict(self, best: Deployable, model: Deployable, number: int, trial: Trial) -> TrialVerdict:
        """Ask the guard; a model that it cannot measure or score is not kept, and the run goes on."""
        if model.identity == best.identity:
            return TrialVerdict(None)
        try:
            pair = self._comparable(best, model, number)
            if isinstance(pair, str):
                return TrialVerdict(f"it could not be judged: {pair}")
            return trial(*pair, self.job.passes[self.steps[number].name].lossy)
        except MloptError as error:
            problem = error.problems[0]
            return TrialVerdict(f"it could not be judged: {problem.what}{detail_of(problem)}")

    def _comparable(self, best: Deployable, model: Deployable, number: int) -> tuple[Deployable, Deployable] | str:
        """Run the required steps that follow on both ways, up to where both can be shipped; else say what is missing.

        A step that takes only one of them is there for that way, if it makes of it what the other one already is.
        """
        name, later = self.steps[number].name, number
        while not (self._ships(best, later) and self._ships(model, later)):
            later = next((n for n in range(later + 1, len(self.steps)) if not self.steps[n].optional), len(self.steps))
            if later == len(self.steps):
                way = "of it" if self._ships(best, later) else "without it"
                return f"no required step makes a model to ship {way}"
            self.notify(f"{self.steps[later].name} ({later + 1} of {len(self.steps)}), to see what '{name}' is worth")
            with_it, without = self._next(model, later, best), self._next(best, later, model)
            if isinstance(with_it, str):
                return f"after it, {with_it}"
            if isinstance(without, str):
                self.enabled_by[later] = name
                return f"without it, {without}"
            best, model = without, with_it
        return best, model

    def _next(self, model: Deployable, number: int, other: Deployable) -> Deployable | str:
        """Return what a step makes of the model on one of two ways, or why it makes nothing."""
        step, pass_, kind = self.steps[number], self.job.passes[self.steps[number].name], model.model.kind
        if kind not in pass_.accepts:
            stands_in = pass_.produces == kind and other.model.kind in pass_.accepts
            return model if stands_in else f"'{step.name}' does not fit: there is {a_kind(kind)} model"
        found = self._tried(model, number)
        if found.kept is None:
            return f"'{step.name}' {'' if found.status == 'failed' else 'was '}{found.status}: {found.reason}"
        return found.kept

    def _tried(self, model: Deployable, number: int) -> Outcome:
        """Run a required step, where that it fails is an answer; what it made is kept for when its turn comes."""
        step, key = self.steps[number], (number, model.identity)
        if key not in self.ahead:
            found = held(model, number, step.model_copy(update={"optional": True}), self.job)
            if found.kept is None:
                return found
            self.ahead[key] = replace(found, step=step)
        return self.ahead[key]

    def _ships(self, one: Deployable, number: int) -> bool:
        """Whether users may be given this after step ``number``; PyTorch that is yet to be left is no result."""
        kind, steps = one.model.kind, self.steps[number + 1 :]
        later = [self.job.passes[step.name] for step in steps if not step.optional]
        left = kind == TORCH and any(TORCH in pass_.accepts and pass_.produces != TORCH for pass_ in later)
        return not left and unrun(kind, "the passes", self.job.target) is None


def _unfit(
    best: Deployable, number: int, step: Step, job: Job, passed_by: dict[Kind, str], left_out: Outcome | None
) -> Outcome:
    """Return what becomes of a step that does not take the model that there is; raises ``PassError`` if it must."""
    pass_, kind = job.passes[step.name], best.model.kind
    doer = next((name for left, name in passed_by.items() if left in pass_.accepts), None)
    if doer is not None and pass_.produces == kind:
        reason = f"not needed: '{doer}' has made {a_kind(kind)} model already"
        return Outcome(step, pass_.version, "refused", reason)
    accepted = " or ".join(map(a_kind, sorted(pass_.accepts)))
    blamed = left_out is not None and job.passes[left_out.step.name].produces in pass_.accepts
    cause = f", since '{left_out.step.name}' was {left_out.status}: {left_out.reason}" if left_out and blamed else ""
    if step.optional:
        return Outcome(
            step, pass_.version, "refused", f"it takes {accepted} model, and there is {a_kind(kind)} one{cause}"
        )
    raise PassError(
        f"'{step.name}' does not fit here", where=f"{job.name}: {number + 1} {step.name}",
        got=f"{a_kind(kind)} model{cause}", expected=f"{accepted} model",
        fix=f"leave `optional` out of '{left_out.step.name}'" if left_out and blamed
        else "put a step before it that makes one" if kind == TORCH else f"remove '{step.name}'",
    )  # fmt: skip
