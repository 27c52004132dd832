"""What else may be shipped by now, while the chain is at work in one runtime: how fast a step must be to be of use.

A search for the numbers of a model takes minutes. Where the model, as it is, runs several times as fast in another
runtime, and keeps the gates there, most of what a search could find is known to be too slow before it is looked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from mlopt.core.errors import MloptError
from mlopt.core.target import Objective
from mlopt.data.dataset import part
from mlopt.measure import first_look
from mlopt.measure.candidate import Candidate
from mlopt.recipe.gates import gates as gates_of
from mlopt.results.timing import Rival
from mlopt.run.probe import Liveness, patience
from mlopt.run.quality import QualityGates
from mlopt.runtimes.base import Deployable, Identity
from mlopt.runtimes.table import other_runtime, runtime_named

_FEW = 4
"""Samples of a look: it is only for the time."""


@dataclass(frozen=True)
class Rivals:
    """Looks at what may be shipped, each once."""

    quality: QualityGates
    probe: Liveness
    _seen: dict[Identity, float | None] = field(default_factory=dict)

    def of(self, best: Deployable, runtimes: Sequence[str], made: Sequence[Deployable]) -> Rival | None:
        """Return the fastest of ``made``, and of ``best`` in other runtimes; None where ``best`` itself is faster.

        None, too, where something else than the time that is looked at, and quality, decides what can be shipped.
        """
        recipe = self.quality.recipe
        weighed = any(gate.metric.startswith(("size", "peak_rss", "cold_start")) for gate in gates_of(recipe))
        if weighed or recipe.objective is not Objective.LATENCY or (own := self._ms(best)) is None:
            return None
        there = [(f"the model as it is, in {each.where}", each) for each in self._elsewhere(best, runtimes)]
        there += [(f"what the passes came to in {each.where}", each) for each in made]
        times = [(own / ms, told) for told, each in there if (ms := self._ms(each)) is not None]
        most, told = max(times, default=(0.0, ""))
        return Rival(told, most) if most > 1 else None

    def _elsewhere(self, best: Deployable, runtimes: Sequence[str]) -> Iterator[Deployable]:
        """Yield the model in each of the runtimes, in the least precision that keeps the gates."""
        for name in runtimes:
            if best.model.kind not in runtime_named(name).kinds:
                continue
            try:
                one = other_runtime(best, name)
                if self.probe.died(one) is None and self.quality.of(chosen := self.quality.preferred(one)).valid:
                    yield chosen
            except MloptError:  # there is nothing to ship in it; its own way tells why
                continue

    def _ms(self, one: Deployable) -> float | None:
        """Return about how long an inference takes; None where that cannot be seen."""
        if one.identity not in self._seen:
            evaluator, target = self.quality.evaluator, self.quality.recipe.target
            few = part(evaluator.dataset, np.arange(min(_FEW, evaluator.dataset.count)), evaluator.logs / "rival")
            candidate = Candidate(one.runtime, one, target.batch_size, target.clients)
            try:
                seen = first_look.look(
                    candidate, few, evaluator.logs / "look.log", patience=patience(evaluator, few.count)
                )
            except MloptError:
                self._seen[one.identity] = None
            else:
                self._seen[one.identity] = seen.ms
        return self._seen[one.identity]
