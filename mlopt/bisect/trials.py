"""A pass run again and again with nodes excluded: through the pipeline, so every run is checked and cached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from glob import escape

from mlopt.bisect.edit import KEY, with_exclusion
from mlopt.bisect.finding import Chosen
from mlopt.bisect.limits import figures, hold
from mlopt.bisect.search import smallest
from mlopt.bisect.suspects import Suspect, suspects, untouched
from mlopt.core.errors import DataError, MeasureError
from mlopt.core.worker import WorkerDiedError, WorkerRaisedError, run_in_worker
from mlopt.data.dataset import Dataset
from mlopt.gate.limits import Gate
from mlopt.measure.evaluate import Evaluator
from mlopt.recipe.schema import Step
from mlopt.run import loop
from mlopt.run import step as pipeline
from mlopt.run.optimize import Prepared
from mlopt.run.outcomes import Outcome
from mlopt.runtimes.base import Deployable
from mlopt.tensors import TensorDifference, compare_tensors

_UNTOUCHED = ("left_alone", "kept_fp32")
"""The notes in which the passes with an ``exclude`` list the nodes that they did not change."""


@dataclass
class Trials:
    """One pass that broke a limit, and what became of it with nodes excluded."""

    prepared: Prepared
    gates: Sequence[Gate]
    number: int
    """The place of the pass among the recipe's, from 0."""
    before: Deployable
    after: Deployable
    spared: frozenset[str]
    """Nodes that the pass did not change."""
    done: dict[tuple[str, ...], Outcome] = field(default_factory=dict)

    @classmethod
    def of(cls, prepared: Prepared, gates: Sequence[Gate], number: int, before: Deployable, outcome: Outcome) -> Trials:
        """Start with what the pass wrote at first."""
        if outcome.deployable is None:
            raise ValueError(f"'{outcome.step.name}' wrote no model that could break a limit")
        notes = outcome.notes or {}
        spared = untouched(before.model, outcome.deployable.model).union(*(notes.get(key, ()) for key in _UNTOUCHED))
        return cls(prepared, gates, number, before, outcome.deployable, spared)

    @property
    def step(self) -> Step:
        """The step as the recipe has it."""
        return self.prepared.planned.loaded.recipe.passes[self.number]

    @cached_property
    def ranked(self) -> list[Suspect]:
        """The suspects, the worst first."""
        started, data = self.prepared.planned.started, self.prepared.data
        samples, log = data.get("calibration", data["evaluation"]), started.scratch / "compare.log"
        started.notify("suspects", "comparing the pass's input and output, tensor by tensor", None)
        compare = partial(compare_tensors, self.before, self.after, samples)
        try:
            found: tuple[TensorDifference, ...] = run_in_worker(log, compare)
        except (WorkerDiedError, WorkerRaisedError) as error:
            where = f"pass '{self.step.name}'"
            raise MeasureError("its input and output cannot be compared", where=where, got=str(error)) from error
        return suspects(self.before.model, found, self.spared)

    def excluding(self, nodes: Sequence[str]) -> Step:
        """Return the step with these nodes excluded, besides those that are."""
        config = self.step.config
        patterns = (*getattr(config, KEY), *_patterns(nodes))
        return self.step.model_copy(update={"config": config.model_copy(update={KEY: patterns})})

    def without(self, nodes: Sequence[str]) -> Outcome:
        """Return what the pass comes to without these nodes; that it refuses or fails is a result, too."""
        asked = tuple(sorted(nodes))
        if asked not in self.done:
            started = self.prepared.planned.started
            started.notify("trials", f"run {len(self.done) + 1}, nodes excluded: {len(asked)}", None)
            step = self.excluding(asked).model_copy(update={"optional": True})
            job = replace(self.prepared.job, repro=started.scratch / "repro")
            (self.done[asked],) = loop.run(self.before, (step,), job, None, lambda _: None)
        return self.done[asked]

    def enough(self, evaluator: Evaluator, nodes: Sequence[str]) -> bool:
        """Whether the limits hold without these nodes; a pass that has nothing left to do leaves its input, so yes."""
        outcome = self.without(nodes)
        if outcome.deployable is None:
            return outcome.status == "refused"
        return hold(figures(self.gates, evaluator, outcome.deployable))


def choose(trials: Trials, notes: list[str]) -> Chosen | None:
    """Look for an exclusion on each data set in turn, until one holds on the evaluation samples; ``notes`` say why not.

    The last one found is returned even if a later step of the chain breaks a limit again.
    """
    chosen = None
    for role, samples in _roles(trials.prepared):
        evaluator = replace(trials.prepared.evaluator, dataset=samples)
        if unfit := _unfit(trials, evaluator):
            notes.append(f"the {role} samples could not choose: {unfit}")
            continue
        nodes = smallest([each.node for each in trials.ranked], partial(trials.enough, evaluator))
        if nodes is None or trials.without(nodes).model is None:
            notes.append(f"on the {role} samples no exclusion is enough and leaves the pass something to do")
            continue
        chosen = _chosen(trials, role, evaluator, nodes)
        if hold(chosen.result):
            break
        notes.append(f"with what the {role} samples chose ({', '.join(nodes)}), the chain ends beyond a limit")
    done = trials.without([each.node for each in chosen.nodes]).notes if chosen is not None else None
    if done is not None and {"quantized", "quantizable"} <= done.keys():
        notes.append(f"without them, {done['quantized']} of {done['quantizable']} layers are quantized")
    if chosen is not None and chosen.by == "evaluation":
        notes.append("the samples that chose also judge, which flatters the result: judge it on others")
    return chosen


def _roles(prepared: Prepared) -> Iterator[tuple[str, Dataset]]:
    for role in ("calibration", "evaluation"):
        if role in prepared.data:
            yield role, prepared.data[role]


def _unfit(trials: Trials, evaluator: Evaluator) -> str | None:
    """Return why these samples cannot tell a right exclusion from a wrong one."""
    try:
        before, after = (figures(trials.gates, evaluator, model) for model in (trials.before, trials.after))
    except DataError as error:
        return error.problems[0].what
    if not hold(before):
        return "on them a limit is broken before the pass, too"
    return "on them no limit is broken" if hold(after) else None


def _chosen(trials: Trials, role: str, evaluator: Evaluator, nodes: Sequence[str]) -> Chosen:
    prepared, model = trials.prepared, trials.without(nodes).deployable
    recipe, names = prepared.planned.loaded.recipe, sorted(nodes)
    if model is None:
        raise ValueError("an exclusion was chosen that leaves the pass nothing to do")
    steps = [*recipe.passes]
    steps[trials.number] = trials.excluding(names)
    prepared.planned.started.notify("confirm", "the whole chain with the exclusion", None)
    outcomes = loop.run(pipeline.start(prepared.source, prepared.job), steps, prepared.job, None, lambda _: None)
    end = [outcome.kept for outcome in outcomes if outcome.kept is not None][-1]
    return Chosen(
        tuple(suspect for suspect in trials.ranked if suspect.node in names), role, evaluator.dataset.count,
        before=figures(trials.gates, evaluator, trials.after), after=figures(trials.gates, evaluator, model),
        result=figures(trials.gates, prepared.evaluator, end),
        edited=with_exclusion(prepared.planned.loaded.text, trials.number, _patterns(names)),
    )  # fmt: skip


def _patterns(nodes: Sequence[str]) -> list[str]:
    """Write names as patterns that match nothing else: a name may hold ``[``."""
    return [escape(name) for name in nodes]
