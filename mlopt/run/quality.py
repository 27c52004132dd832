"""The gates on quality, asked of deployables before anything is timed: each in its own runtime, and each once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlopt.core.errors import MloptError, ModelError
from mlopt.gate.judge import objection, on_quality
from mlopt.gate.limits import Gate
from mlopt.measure.evaluate import Evaluator
from mlopt.recipe.gates import gates as gates_of
from mlopt.recipe.schema import Recipe
from mlopt.results.environment import environment
from mlopt.results.figures import Accuracy, Fidelity
from mlopt.results.report import CandidateRecord, Report
from mlopt.runtimes.base import Deployable, Identity
from mlopt.runtimes.table import choices, exactly, that_checks_sizes


@dataclass(frozen=True)
class Judged:
    """What a deployable's answers to all evaluation samples are worth."""

    objection: str | None
    """What speaks against shipping it."""
    fidelity: Fidelity | None = None
    accuracy: Accuracy | None = None


@dataclass(frozen=True)
class QualityGates:
    """Holds deployables against the gates on quality, each in its own runtime, and each once."""

    recipe: Recipe
    evaluator: Evaluator
    baselines: Mapping[str, Report]
    _known: dict[Identity, Judged] = field(default_factory=dict)

    @property
    def gates(self) -> list[Gate]:
        """The gates on quality."""
        return on_quality(gates_of(self.recipe))

    def of(self, judged: Deployable) -> Judged:
        """Return what it is worth; that it cannot be run speaks against it, too."""
        if judged.identity not in self._known:
            try:
                report = _answers(self.evaluator, judged)
                found = objection(self.gates, report, self.baselines) if self.gates else self._otherwise(judged)
                self._known[judged.identity] = Judged(found, report.final.fidelity, report.final.accuracy)
            except MloptError as error:
                problem = error.problems[0]
                self._known[judged.identity] = Judged(": ".join(filter(None, (problem.what, problem.got))))
        return self._known[judged.identity]

    def check(self, shipped: Deployable) -> None:
        """Raise ``ModelError`` for what no gate would see: a runtime that does not answer as the model does."""
        if self.gates or (found := self._otherwise(shipped)) is None:
            return
        raise ModelError(
            f"{shipped.runtime} does not compute this model, and no gate on accuracy or fidelity would say so",
            where=str(shipped.model.path), got=found,
            fix=f"target: {{runtime: {that_checks_sizes(shipped).runtime}}}, or a gate that says how far off it may be",
        )  # fmt: skip

    def _otherwise(self, judged: Deployable) -> str | None:
        """Say where no gate does what a runtime answers that takes more than it should."""
        sure = that_checks_sizes(judged)
        found = None if sure == judged else self.evaluator.changed(exactly(sure), exactly(judged))
        return None if found is None else f"it answers otherwise than in {sure.runtime}: {found}"

    def choices(self, deployable: Deployable) -> tuple[Deployable, ...]:
        """Return the ways to open a model that may be taken; none that is lossy where no gate would see it."""
        every = choices(deployable, one_size=self.evaluator.dataset.one_size)
        return every if self.gates else every[:1]

    def preferred(self, best: Deployable) -> Deployable:
        """Return the model in the least precision that keeps the gates, or in its own."""
        exact, *lossy = self.choices(best)
        return next((each for each in reversed(lossy) if self.of(each).objection is None), exact)


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
