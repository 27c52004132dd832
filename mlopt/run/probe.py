"""Whether a runtime is given any work: it is tried on one sample, in a process that may crash or hang alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mlopt.core.errors import MeasureError, MissingPackage, MloptError
from mlopt.data.dataset import part
from mlopt.measure import first_look
from mlopt.measure.candidate import Candidate
from mlopt.measure.evaluate import Evaluator
from mlopt.runtimes.base import Deployable

_AS_LONG, _CALLS = 5.0, 12
"""So many times what the source takes for as many calls is added; and a look has so many calls besides its samples."""


def patience(evaluator: Evaluator, samples: int) -> float:
    """Return how many seconds a look at so many samples may take: of a model that takes long, more."""
    of_one = evaluator.source_seconds / evaluator.dataset.count
    return first_look.PATIENCE + _AS_LONG * of_one * (samples + _CALLS)


@dataclass(frozen=True)
class Liveness:
    """Tries runtimes, each once; ``ask`` is asked of a deployable before it is run."""

    evaluator: Evaluator
    ask: Callable[[Deployable], object]
    _known: dict[str, str | None] = field(default_factory=dict)

    def died(self, deployable: Deployable) -> str | None:
        """Return why nothing is to be tried in a runtime: a process that ran this on a sample crashed, hung or raised.

        That the model was refused is no reason: it may take another form of it.
        """
        if deployable.runtime not in self._known:
            self._known[deployable.runtime] = self._end(deployable)
        return self._known[deployable.runtime]

    def _end(self, deployable: Deployable) -> str | None:
        evaluator = self.evaluator
        few = part(evaluator.dataset, np.arange(1), evaluator.logs / "one")
        candidate = Candidate(deployable.runtime, deployable, evaluator.batch_size)
        try:
            self.ask(deployable)
            first_look.look(candidate, few, evaluator.logs / "look.log", patience=patience(evaluator, 1))
        except (MeasureError, MissingPackage) as error:
            return error.brief
        except MloptError:
            return None
        return None
