"""In which ways a runtime may open a model: asked in a process of its own, since its library may crash or hang there.

So the process of a run loads no runtime's library, and none takes it along.
"""

from __future__ import annotations

from pathlib import Path

from mlopt.core.errors import MeasureError
from mlopt.core.worker import WorkerDiedError, WorkerRaisedError, run_in_worker_for
from mlopt.runtimes import table
from mlopt.runtimes.base import Deployable, RuntimeOptions, as_given
from mlopt.runtimes.table import runtime_named


def choices(deployable: Deployable, *, one_size: bool, log: Path, patience: float) -> tuple[Deployable, ...]:
    """Return the ways to open a model in its runtime, the exact ones first (``mlopt.runtimes.table.choices``).

    Raises ``MeasureError`` for a runtime that comes to no answer in ``patience`` seconds, ``MissingPackage`` for one
    that cannot be imported.
    """
    if runtime_named(deployable.runtime).choices is as_given:
        return (deployable,)
    try:
        found = run_in_worker_for(patience, log, _options, deployable, one_size)
    except (WorkerDiedError, WorkerRaisedError) as error:
        raise MeasureError(f"the runtime {deployable.runtime} could not be asked", got=str(error)) from error
    return tuple(Deployable(deployable.model, deployable.runtime, options) for options in found)


def _options(deployable: Deployable, one_size: bool) -> tuple[RuntimeOptions, ...]:
    """Be the process; which of them are exact is asked later, and must have an answer, too."""
    found = table.choices(deployable, one_size=one_size)
    for each in found:
        table.exactly(each)
    return tuple(each.options for each in found)
