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
from typing import Protocol, TypeVar

from mlopt.core.errors import MloptError
from mlopt.formats.model import Model
from mlopt.recipe.schema import Step
from mlopt.results.timing import Rival
from mlopt.run import loop
from mlopt.run.fingerprint import Setting
from mlopt.run.outcomes import Trial, Way
from mlopt.run.quality import QualityGates
from mlopt.run.step import Job, begin
from mlopt.runtimes.base import Deployable
from mlopt.runtimes.table import runtime_named

S = TypeVar("S", bound=Setting)


class Beating(Protocol):
    """Tells what may be shipped instead of a model, in other runtimes or of what was made before, and is faster."""

    def __call__(self, best: Deployable, runtimes: Sequence[str], made: Sequence[Deployable]) -> Rival | None:
        """Return the fastest, None if that is the model itself."""
        ...


def run(
    runtimes: Sequence[str], steps: Sequence[Step], source: Model, job: Job, *, trial: Trial, quality: QualityGates,
    died: Callable[[Deployable], str | None], rival: Beating, tell: Callable[[str], None],
) -> Iterator[Way]:  # fmt: skip
    """Yield what the chain comes to in each of the runtimes, the first of which must come to something.

    ``died`` says of a deployable how its process crashed or hung, if it did, and ``rival`` what is faster than one.
    Raises ``PassError`` if the first way comes to nothing.
    """
    first: tuple[Deployable, ...] = ()
    made: list[Deployable] = []
    for number, name in enumerate(runtimes):
        many = len(runtimes) > 1
        way = replace(
            setting_of(job, name, runtimes) if many else job, prefer=quality.preferred,
            skips=(skips := partial(elsewhere, runtime=name)), held_before=number > 0,
        )  # fmt: skip
        way = replace(way, rival=partial(rival, runtimes=way.beside, made=tuple(made)))
        free = [each.model_copy(update={"optional": True}) if skips(each) else each for each in steps]
        start = begin(source, way)
        met = next((each.model for each in (start, *first) if each.model.kind in runtime_named(name).kinds), None)
        if number > 0 and met is not None and (end := died(begin(met, way))) is not None:
            yield Way(name, start, (), end, dead=True)
            continue
        try:
            outcomes = tuple(loop.run(start, free, way, trial, partial(_tell, tell, f", in {name}" if many else "")))
            made.append(loop.final(start, outcomes, way.target))
        except MloptError as error:
            if number == 0:
                raise
            yield Way(name, start, (), error.brief)
        else:
            first = first or tuple(each.kept for each in outcomes if each.kept is not None)
            yield Way(name, start, tuple(replace(o, step=step) for o, step in zip(outcomes, steps, strict=True)))


def setting_of(setting: S, runtime: str, runtimes: Sequence[str]) -> S:
    """Return the setting of the way of one of several runtimes."""
    target = setting.target.model_copy(update={"runtime": runtime})
    return replace(setting, target=target, beside=tuple(name for name in runtimes if name != runtime))


def _tell(tell: Callable[[str], None], where: str, text: str) -> None:
    tell(text + where)


def elsewhere(step: Step, runtime: str) -> str | None:
    """Say why a step has no place in the way of a runtime."""
    reader = step.config.only_in
    if reader is None or reader[0] == runtime:
        return None
    return f"it writes operators that only {reader[0]} is sure to read, and this is tried in {runtime}"
