"""The gates on quality, asked of deployables before anything is timed: each in its own runtime, and each once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mlopt.core.errors import MloptError, ModelError
from mlopt.gate.judge import objection, on_quality, on_size
from mlopt.gate.limits import Gate
from mlopt.measure import first_look
from mlopt.measure.evaluate import Evaluator
from mlopt.measure.ways_to_open import choices
from mlopt.recipe.gates import gates as gates_of
from mlopt.recipe.schema import Recipe
from mlopt.results.environment import environment
from mlopt.results.figures import Accuracy, Fidelity
from mlopt.results.report import CandidateRecord, Report
from mlopt.results.roles import BASELINE, FINAL
from mlopt.runtimes.base import Deployable, Identity, RuntimeOptions
from mlopt.runtimes.table import exactly, other_runtime, that_checks_sizes

_WRONG = 2.0
"""So many times the error that a gate allows on all samples is plainly wrong on a few."""


@dataclass(frozen=True)
class Judged:
    """What a deployable's answers to all evaluation samples are worth."""

    objection: str | None
    """What speaks against shipping it."""
    fidelity: Fidelity | None = None
    accuracy: Accuracy | None = None

    @property
    def valid(self) -> bool:
        """Whether nothing does."""
        return self.objection is None


@dataclass(frozen=True)
class QualityGates:
    """Holds deployables against the gates on quality, each in its own runtime, and each once."""

    recipe: Recipe
    evaluator: Evaluator
    baselines: Mapping[str, Report]
    first: str = "onnxruntime"
    """The runtime whose answers count where no gate is about them."""
    _known: dict[Identity, Judged] = field(default_factory=dict)
    _asked: dict[tuple[str, RuntimeOptions], tuple[RuntimeOptions, ...]] = field(default_factory=dict)

    @property
    def gates(self) -> list[Gate]:
        """The gates on quality."""
        return on_quality(gates_of(self.recipe))

    @property
    def plainly_wrong(self) -> float:
        """The cosine below which a few samples are enough to tell; below any where no gate limits it."""
        limits = [gate.min for gate in self.gates if gate.metric == "fidelity.cosine" and gate.min is not None]
        return 1 - _WRONG * (1 - max(limits)) if limits else -2.0

    def of(self, judged: Deployable) -> Judged:
        """Return what it is worth; that it cannot be run speaks against it, too."""
        if judged.identity not in self._known:
            try:
                report = _answers(self.evaluator, judged)
                found = objection(self.gates, report, self.baselines) if self.gates else self._otherwise(judged)
                self._known[judged.identity] = Judged(found, report.final.fidelity, report.final.accuracy)
            except MloptError as error:
                self._known[judged.identity] = Judged(error.brief)
        return self._known[judged.identity]

    def too_large(self, judged: Deployable, baseline: Deployable) -> str | None:
        """Return what the gates on size say against a model."""
        source = _sized(self.evaluator.source_name, self.evaluator.source)
        known: dict[str, Any] = {
            "environment": environment(self.evaluator.hardware), "final": _sized(FINAL, judged),
            "baseline": (base := _sized(BASELINE, baseline)), "references": {source.name: source, base.name: base},
            "speedup": SimpleNamespace(vs=BASELINE), "steps": (),
        }  # fmt: skip
        return objection(on_size(gates_of(self.recipe)), Report.model_construct(**known), self.baselines)

    def check(self, shipped: Deployable) -> None:
        """Raise ``ModelError`` for what no gate would see: a runtime that does not answer as the model does."""
        if self.gates or (found := self._otherwise(shipped)) is None:
            return
        raise ModelError(
            f"{shipped.runtime} does not compute this model, and no gate on accuracy or fidelity would say so",
            where=str(shipped.model.path), got=found,
            fix=f"target: {{runtime: {that_checks_sizes(shipped).runtime}}}, or a gate that says how far off it may be",
        )  # fmt: skip

    def choices(self, deployable: Deployable) -> tuple[Deployable, ...]:
        """Return the ways to open a model that may be taken; its runtime is asked once (``openings``)."""
        key = deployable.runtime, deployable.options
        if key not in self._asked:
            one_size, log = self.evaluator.dataset.one_size, self.evaluator.logs / "choices.log"
            found = openings(self.recipe, deployable, one_size=one_size, log=log)
            self._asked[key] = tuple(each.options for each in found)
        return tuple(replace(deployable, options=options) for options in self._asked[key])

    def preferred(self, best: Deployable) -> Deployable:
        """Return the model in the least precision that keeps the gates, or in its own."""
        exact, *lossy = self.choices(best)
        return next((each for each in reversed(lossy) if self.of(each).objection is None), exact)

    def _otherwise(self, judged: Deployable) -> str | None:
        """Say what a runtime answers otherwise than the first, or than one that takes no more than it should."""
        sure = that_checks_sizes(judged) if judged.runtime == self.first else other_runtime(judged, self.first)
        found = None if sure == judged else self.evaluator.changed(exactly(sure), exactly(judged))
        return found and f"it answers otherwise than {sure.runtime}, and no gate says how far it may: {found}"


def _sized(name: str, one: Deployable) -> CandidateRecord:
    known: dict[str, Any] = {"name": name, "size_bytes": one.model.size_bytes}
    return CandidateRecord.model_construct(**known)


def openings(recipe: Recipe, deployable: Deployable, *, one_size: bool, log: Path) -> tuple[Deployable, ...]:
    """Return the ways to open a model that a recipe may take; none that is lossy where no gate would see it.

    The runtime is asked in a process of its own. Raises as ``mlopt.measure.ways_to_open`` does.
    """
    every = choices(deployable, one_size=one_size, log=log, patience=first_look.PATIENCE)
    return every if on_quality(gates_of(recipe)) else every[:1]


def _answers(evaluator: Evaluator, judged: Deployable) -> Report:
    """Report what a model answers and nothing else: there is no latency in it, so only gates on quality can be asked.

    Raises ``MeasureError`` or ``ModelError`` when it cannot be run on the samples.
    """
    final: dict[str, Any] = {
        "accuracy": evaluator.accuracy(judged), "fidelity": evaluator.fidelity(judged), "digest": judged.model.digest,
    }  # fmt: skip
    known: dict[str, Any] = {
        "environment": environment(evaluator.hardware), "accuracy_drop": evaluator.drop(judged), "references": {},
        "final": CandidateRecord.model_construct(**final), "steps": (),
        "data": {"evaluation": {"digest": evaluator.dataset.digest}},
    }  # fmt: skip
    return Report.model_construct(**known)
