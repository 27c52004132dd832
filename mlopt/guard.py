"""No regret: an optional step stays only if it is worth having, which is measured, not assumed.

A lossy step must earn its place: faster than the model before it by more than two copies of one model differ (or
smaller, as the objective says), with every quality gate passed. A lossless one must only do no harm: it goes if it is
measurably slower (or larger).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mlopt import evidence
from mlopt.evaluate import Evaluator
from mlopt.gate import judge
from mlopt.measure.candidate import Candidate
from mlopt.measure.latency import Measured
from mlopt.model import Model
from mlopt.pipeline import Guard, Ruling
from mlopt.recipe.schema import Recipe
from mlopt.report.facts import beyond_noise
from mlopt.report.schema import Report, Speedup
from mlopt.runtimes.base import RuntimeOptions
from mlopt.target import Objective

Measure = Callable[[Sequence[Candidate]], Mapping[str, Measured]]


@dataclass(frozen=True)
class _Trial:
    """One optional step on trial: its model against the best so far."""

    recipe: Recipe
    evaluator: Evaluator
    options: RuntimeOptions
    measure: Measure

    def __call__(self, best: Model, model: Model, lossy: bool) -> Ruling:
        if model.digest == best.digest:
            return Ruling(None)
        report = self._report(best, model)
        reason = self._against(report) or self._no_gain(report) if lossy else self._harm(report)
        return Ruling(reason, report.final.latency_ms, report.final.accuracy)

    def _harm(self, report: Report) -> str | None:
        if self.recipe.objective is Objective.SIZE:
            old, new = report.baseline.size_bytes, report.final.size_bytes
            return f"larger: {new} bytes against {old}" if new > old else None
        return f"measurably slower: {_text(report.speedup)}" if beyond_noise(report.speedup) < 0 else None

    def _report(self, best: Model, model: Model) -> Report:
        """Make a report in miniature: the best model so far is the baseline, the step's model the result."""
        pairs = ((evidence.BASELINE, best), (evidence.CONTROL, best), (evidence.FINAL, model))
        contenders = tuple(Candidate(name, each, self.options) for name, each in pairs)
        lineup = evidence.Lineup(self.evaluator.source, best, model, {}, contenders)
        samples = self.measure(contenders)
        return evidence.report(self.recipe, lineup, (), samples, self.evaluator, self.evaluator.hardware, {})

    def _no_gain(self, report: Report) -> str | None:
        if self.recipe.objective is Objective.SIZE:
            old, new = report.baseline.size_bytes, report.final.size_bytes
            return f"no smaller: {new} bytes against {old}" if new >= old else None
        return None if beyond_noise(report.speedup) > 0 else f"no measurable gain: {_text(report.speedup)}"

    def _against(self, report: Report) -> str | None:
        """Return what a quality gate says against the model; a gate that cannot be decided counts against it too."""
        gates = [gate for gate in self.recipe.gates if gate.metric.startswith(("accuracy.", "fidelity."))]
        if not gates:
            return None
        return "; ".join(verdict.message for verdict in judge(gates, report) if verdict.verdict != "pass") or None


def guard(recipe: Recipe, evaluator: Evaluator, options: RuntimeOptions, measure: Measure) -> Guard:
    """Return the guard of one run."""
    return _Trial(recipe, evaluator, options, measure)


def _text(speedup: Speedup) -> str:
    low, high = speedup.ci95
    noise = f"two copies of one model differed by up to {speedup.noise_floor:.0%}"
    return f"{speedup.median:.2f}x ({low:.2f} to {high:.2f}) the speed of the model before it; {noise}"
