"""What the latencies of a recipe's run say, in the end and while it is still measured."""

from __future__ import annotations

from collections.abc import Mapping

from mlopt.data.dataset import Dataset
from mlopt.hardware import Hardware
from mlopt.measure import figures, statistics
from mlopt.measure.figures import Roles, Subject
from mlopt.measure.latency import Measured
from mlopt.recipe.schema import Recipe
from mlopt.report.control import runs_alike
from mlopt.report.schema import Candidate, Report, Sampling
from mlopt.results.roles import BASELINE, CONTROL, FINAL, SOURCE

ROLES = Roles(BASELINE, CONTROL, FINAL)


def described(measured: Mapping[str, Measured], dataset: Dataset, alpha: float) -> dict[str, Candidate]:
    """Describe each model that was measured, the baseline's second copy left out."""
    return {name: figures.timed(each, dataset, alpha) for name, each in measured.items() if name != CONTROL}


def timings(
    recipe: Recipe, hardware: Hardware, candidates: Mapping[str, Candidate], measured: Mapping[str, Measured],
    sampling: Sampling,
) -> Report:  # fmt: skip
    """Put together latencies and their ratios, and nothing else; the verdict is inconclusive until it is judged.

    ``measured`` has at least the baseline, its second copy and the final model.
    """
    subject = Subject(recipe.name, recipe.objective.value, ROLES, hardware)
    references = [name for name in (SOURCE, BASELINE) if name in candidates]
    report = figures.report(subject, candidates, measured, references, statistics.ALPHA / sampling.looks_planned)
    speedups = {
        name: found.model_copy(update={"median": 1.0, "ci95": (1.0, 1.0)})
        if runs_alike(report.final, report.references[name])
        else found
        for name, found in report.speedups.items()
    }
    return report.model_copy(update={"speedup": speedups[BASELINE], "speedups": speedups, "sampling": sampling})
