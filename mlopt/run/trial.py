"""No regret: an optional step stays only if it is worth having, which is measured, not assumed.

A lossy step must earn its place: faster than the model before it by more than two copies of one model differ (or
smaller, as the objective says), with every quality gate passed. A lossless one must only do no harm: it goes if it is
measurably slower, or if its file is larger for no gain in speed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mlopt.core.target import Objective
from mlopt.gate.judge import objection, on_quality
from mlopt.recipe.gates import gates as gates_of
from mlopt.recipe.schema import Recipe
from mlopt.report.control import beyond_noise, distrusted, hidden
from mlopt.results.figures import Speedup
from mlopt.results.report import Report
from mlopt.run.outcomes import Trial, TrialVerdict
from mlopt.runtimes.base import Deployable

TrialRun = Callable[[Deployable, Deployable], Report]
"""``trial(best, model)`` measures the two, and reports ``best`` as the baseline and ``model`` as the result."""


@dataclass(frozen=True)
class _Trial:
    """One optional step on trial: its model against the best so far."""

    recipe: Recipe
    baselines: Mapping[str, Report]
    """The stored reports that gates compare with."""
    trial_run: TrialRun

    def __call__(self, best: Deployable, model: Deployable, lossy: bool) -> TrialVerdict:
        if model.identity == best.identity:
            return TrialVerdict(None)
        report = self.trial_run(best, model)
        reason = self._worthless(report) if lossy else self._harm(report)
        return TrialVerdict(reason, report.final.latency_ms, report.final.accuracy, report.final.macs)

    def _worthless(self, report: Report) -> str | None:
        return objection(on_quality(gates_of(self.recipe)), report, self.baselines) or self._no_gain(report)

    def _harm(self, report: Report) -> str | None:
        old, new = report.baseline.size_bytes, report.final.size_bytes
        larger = f"larger: {new} bytes against {old}" if new > old else None
        if self.recipe.objective is Objective.SIZE:
            return larger
        if beyond_noise(report.speedup) < 0:
            return f"measurably slower: {_text(report.speedup)}"
        gainless = self._no_gain(report) if larger else None
        return f"{larger}, and {gainless}" if gainless else None

    def _no_gain(self, report: Report) -> str | None:
        if self.recipe.objective is Objective.SIZE:
            old, new = report.baseline.size_bytes, report.final.size_bytes
            return f"no smaller: {new} bytes against {old}" if new >= old else None
        speedup = report.speedup
        if beyond_noise(speedup) > 0:
            return None
        unknown = speedup.median > 1 and hidden(speedup)
        return f"{'too noisy to tell' if unknown else 'no measurable gain'}: {_text(speedup)}"


def trial(recipe: Recipe, baselines: Mapping[str, Report], trial_run: TrialRun) -> Trial:
    """Return the guard of one run."""
    return _Trial(recipe, baselines, trial_run)


def _text(speedup: Speedup) -> str:
    low, high = speedup.ci95
    return f"{speedup.median:.2f}x ({low:.2f} to {high:.2f}) the speed of the model before it; {_noise(speedup)}"


def _noise(speedup: Speedup) -> str:
    if speedup.control is None or not distrusted(speedup):
        return f"two copies of one model differed by up to {speedup.noise_floor:.0%}"
    low, high = speedup.control
    return f"two copies of one model came out {low:.4g}x to {high:.4g}x apart"
