"""The chain, run once for each runtime of the target: what it comes to there, from one source.

Which layers pay in INT8, and whether a step helps, differs from runtime to runtime. What does not depend on the runtime
is made once: the cache gives it to the next way. The first way is the run itself; one that fails later takes nothing
along, and is told.

A runtime may compute in less than full precision and be faster. A step that is lossy, or measures, is to improve on
that: it is given the model in the least precision that keeps the gates, and its result is judged against it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from mlopt.core.errors import MloptError
from mlopt.formats.model import Model
from mlopt.recipe.schema import Step
from mlopt.run import loop
from mlopt.run.outcomes import Trial, Way
from mlopt.run.quality import QualityGates
from mlopt.run.step import Job, begin
from mlopt.runtimes.base import Deployable
from mlopt.runtimes.table import runtime_named


def run(
    runtimes: Sequence[str], steps: Sequence[Step], source: Model, job: Job, *, trial: Trial, quality: QualityGates,
    died: Callable[[Deployable], str | None], tell: Callable[[str], None],
) -> Iterator[Way]:  # fmt: skip
    """Yield what the chain comes to in each of the runtimes, the first of which must come to something.

    ``died`` says of a deployable how its process crashed or hung, if it did. Raises ``PassError`` if the first way
    comes to nothing.
    """
    first: tuple[Deployable, ...] = ()
    for number, name in enumerate(runtimes):
        many = len(runtimes) > 1
        target = job.target.model_copy(update={"runtime": name}) if many else job.target
        skips = partial(elsewhere, runtime=name)
        way = replace(job, target=target, prefer=quality.preferred, skips=skips, held_before=number > 0)
        free = [each.model_copy(update={"optional": True}) if skips(each) else each for each in steps]
        start = begin(source, way)
        met = next((each.model for each in (start, *first) if each.model.kind in runtime_named(name).kinds), None)
        if number > 0 and met is not None and (end := died(begin(met, way))) is not None:
            yield Way(name, start, (), end, dead=True)
            continue
        try:
            outcomes = tuple(loop.run(start, free, way, trial, partial(_tell, tell, f", in {name}" if many else "")))
            loop.final(start, outcomes, target)
        except MloptError as error:
            if number == 0:
                raise
            yield Way(name, start, (), error.brief)
        else:
            first = first or tuple(each.kept for each in outcomes if each.kept is not None)
            yield Way(name, start, tuple(replace(o, step=step) for o, step in zip(outcomes, steps, strict=True)))


def _tell(tell: Callable[[str], None], where: str, text: str) -> None:
    tell(text + where)


def elsewhere(step: Step, runtime: str) -> str | None:
    """Say why a step has no place in the way of a runtime."""
    reader = step.config.only_in
    if reader is None or reader[0] == runtime:
        return None
    return f"it writes operators that only {reader[0]} is sure to read, and this is tried in {runtime}"
