"""The steps of a run to come, in the way of each runtime: what each may meet, and whether the cache has the result.

Whether an optional step stays, and in which precision the input of a lossy one is run, is found by measuring. So each
step is looked up for all that it may meet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlopt.core.cache_entry import Entry, Key
from mlopt.core.errors import MloptError
from mlopt.core.target import Objective
from mlopt.formats.model import ONNX, TORCH, Kind, Model
from mlopt.passes.base import Pass
from mlopt.recipe.schema import Step
from mlopt.run import chain, forms
from mlopt.run.fingerprint import Setting, key_of
from mlopt.run.forms import Entrant
from mlopt.run.outcomes import Outcome, Way
from mlopt.run.outlook import Outlook
from mlopt.run.planned import Planned
from mlopt.run.quality import openings
from mlopt.run.step import how_run, run_so
from mlopt.run.ways import elsewhere, setting_of
from mlopt.runtimes.base import Deployable, RuntimeOptions
from mlopt.runtimes.table import runtime_named

WHY_OPEN = "depends on a step above that has to run"
_UNSURE = (
    "nothing changed, unless it is made from the model in less precision: whether that keeps the gates is measured"
)


@dataclass(frozen=True)
class Ahead:
    """What is known of a run before its steps."""

    planned: Planned
    setting: Setting
    kind: Kind
    source: str | None
    """The digest of the source; None if it is still to be made."""
    unread: frozenset[str]
    """The data sets that are still to be read."""
    one_size: bool

    _asked: dict[tuple[str, RuntimeOptions], tuple[RuntimeOptions, ...]] = field(default_factory=dict)

    def opened(self, deployable: Deployable) -> tuple[Deployable, ...]:
        """Return the ways to open a model that the run may take; raises as ``openings`` does."""
        key = deployable.runtime, deployable.options
        if key not in self._asked:
            log = self.planned.started.scratch / "plan.log"
            found = openings(self.planned.loaded.recipe, deployable, one_size=self.one_size, log=log)
            self._asked[key] = tuple(each.options for each in found)
        return tuple(replace(deployable, options=options) for options in self._asked[key])


def outlook_of_steps(ahead: Ahead) -> list[Outlook]:
    """Return the steps, once; then, for each further runtime, those that it has done otherwise, and what is chosen."""
    recipe, passes = ahead.planned.loaded.recipe, ahead.planned.passes
    names = chain.ways(ahead.kind, recipe, passes)
    every: list[_WayAhead] = []
    lost: list[Outlook] = []
    for name in names or ("",):
        way = _WayAhead(ahead, name, first=every[0] if every else None, names=names)
        try:
            way.walked()
        except MloptError as error:
            if not every:
                raise
            lost.append(Outlook("all steps", "", None, error.brief, runtime=name, skipped=True))
        else:
            every.append(way)
    first, *others = every
    apart = {row.number for way in others for row in way.walked() if row.own}
    told = [_told(row, ahead, first.name if row.number in apart or row.skipped else None) for row in first.walked()]
    for way in others:
        told += [_told(row, ahead, way.name) for row in way.walked() if row.own]
    return [*told, *lost, *_choice(ahead, [each.hypothesis() for each in every])]


@dataclass(frozen=True)
class _StepAhead:
    """What is known of one step in the way of one runtime."""

    number: int
    step: Step
    keys: tuple[Key, ...] = ()
    """Under which its result may be, as far as its inputs are known."""
    entry: Entry | None = None
    blocked: bool = True
    own: bool = False
    """Whether it is not what the first way does there."""
    skipped: str | None = None
    """Why it has no place in this way."""
    unsure: bool = False
    """Whether the entry is that of the first way, and is this one's only if less precision does not keep the gates."""
    unfit: bool = False
    """Whether it takes none of the models that it may meet."""

    @property
    def refused(self) -> bool:
        """Whether it is known to write nothing."""
        return self.skipped is not None or self.unfit or "refused" in self.result

    @property
    def result(self) -> Mapping[str, Any]:
        """What is known of what it came to."""
        return {} if self.entry is None or self.unsure else self.entry.result


class _WayAhead:
    """The chain in the way of one runtime, of which the first is told whole."""

    def __init__(self, ahead: Ahead, name: str, *, first: _WayAhead | None, names: Sequence[str]) -> None:
        self.ahead, self.name, self.first = ahead, name, first
        self.setting = ahead.setting if len(names) < 2 else setting_of(ahead.setting, name, names)
        self.start = self._run_so(ahead.kind, ahead.source or "source", None)
        self._rows: list[_StepAhead] | None = None

    def walked(self) -> list[_StepAhead]:
        """Return a row for each step."""
        if self._rows is None:
            self._rows = list(self._walk())
        return self._rows

    def hypothesis(self) -> Way:
        """Return what the chain would come to if each step that may write a model wrote one, and no two the same."""
        steps, outcomes = self.ahead.planned.passes, []
        for row in self.walked():
            status = "refused" if row.refused else "dropped" if row.step.optional else "applied"
            digest = row.result.get("digest") or f"{self.name if row.own else ''} {row.number}"
            made = None if row.refused else self._run_so(steps[row.step.name].produces, digest, None)
            outcomes.append(Outcome(row.step, steps[row.step.name].version, status, None, made))
        return Way(self.name, self.start, tuple(outcomes))

    def _walk(self) -> Iterator[_StepAhead]:
        before = [self.start] if self.ahead.source is not None else []
        exact: list[str | None] = [None]
        apart = False
        for number, step in enumerate(self.ahead.planned.loaded.recipe.passes):
            reason = elsewhere(step, self.name) if self.name else None
            if reason is not None:
                yield _StepAhead(number, step, own=self.first is not None, skipped=reason)
                continue
            pass_ = self.ahead.planned.passes[step.name]
            met = [each for each in before if each.model.kind in pass_.accepts]
            passed = [each for each in before if each not in met]  # the step is there for another way, not for these
            lossy = pass_.lossy or step.config.searches
            opened = [self._preferred(each) if lossy else [each] for each in met]
            onnx: list[str | None] = [each.model.digest for each in met if each.model.kind == ONNX]
            exact = onnx if pass_.lossy and onnx and exact == [None] else exact
            keys = [[self._key(each, number, step, known) for each in ways for known in exact] for ways in opened]
            row = replace(self._row(number, step, keys, apart=apart), unfit=bool(before) and not met)
            yield row
            apart = apart or (row.own and not row.refused)
            before = [*self._after(row, [each for ways in opened for each in ways], pass_), *passed]

    def _row(self, number: int, step: Step, opened: Sequence[Sequence[Key]], *, apart: bool) -> _StepAhead:
        """Look a step up for each model that it may meet, however that may be opened."""
        ahead, pass_ = self.ahead, self.ahead.planned.passes[step.name]
        keys = tuple(key for several in opened for key in several)
        trains = pass_.trains(step.config) and "train" in ahead.unread
        blocked = not keys or "evaluation" in ahead.unread or (pass_.lossy and "calibration" in ahead.unread) or trains
        store = ahead.planned.started.store
        found = ((several, None if blocked else store.get(key)) for several in opened for key in several)
        several, entry = next(((several, entry) for several, entry in found if entry is not None), ((), None))
        own, there = self._is_own(number, step, keys, apart=apart), {each.fingerprint for each in self._shared(number)}
        others = [key for key in several if key.fingerprint not in there]
        unsure = own and bool(others) and all(store.get(key) is None for key in others)
        return _StepAhead(number, step, keys, entry, blocked, own, unsure=unsure)

    def _key(self, met: Deployable, number: int, step: Step, exact: str | None) -> Key:
        how = how_run(met, self.ahead.planned.options, self.setting.target)
        return key_of(met.model.digest, number, step, replace(self.setting, exact_digest=exact), how)

    def _shared(self, number: int) -> Sequence[Key]:
        """Return the keys under which the first way has a step."""
        return () if self.first is None else self.first.walked()[number].keys

    def _is_own(self, number: int, step: Step, keys: Sequence[Key], *, apart: bool) -> bool:
        """Whether the first way does not do the same; as long as the input is not known, whether it could not."""
        if self.first is None:
            return False
        if keys and (shared := self._shared(number)):
            return {each.fingerprint for each in keys} != {each.fingerprint for each in shared}
        pass_ = self.ahead.planned.passes[step.name]
        kinds = pass_.accepts & runtime_named(self.name).kinds
        like = [self._run_so(kind, "unknown", None) for kind in kinds if pass_.lossy or step.config.searches]
        otherwise = any(self._preferred(each) != [each] for each in like)
        return bool(apart or self.first.walked()[number].skipped or step.config.follows_runtime or otherwise)

    def _preferred(self, met: Deployable) -> list[Deployable]:
        """Return how a lossy step may find it: in the least precision first, which is taken if it keeps the gates."""
        exact, *lossy = self.ahead.opened(met)
        return [*reversed(lossy), exact]

    def _after(self, row: _StepAhead, before: list[Deployable], pass_: Pass[Any]) -> list[Deployable]:
        """Return what the next step may meet."""
        if not row.result:
            return []
        if row.refused:
            return before
        made = [self._run_so(pass_.produces, row.result["digest"], row.result.get("deployed"))]
        return made + before if row.step.optional else made

    def _run_so(self, kind: Kind, digest: str, how: Mapping[str, Any] | None) -> Deployable:
        """Return a model of which no more is known, as it is run."""
        model = Model(kind, Path(), digest, (), (), ())
        return run_so(model, how, self.ahead.planned.options, self.setting.target)


def _told(row: _StepAhead, ahead: Ahead, runtime: str | None) -> Outlook:
    pass_, step = ahead.planned.passes[row.step.name], row.step
    skipped = row.skipped is not None
    cached: bool | None = row.entry is not None
    if skipped:
        cached, why = None, row.skipped
    elif row.blocked or row.unsure:
        cached, why = None, WHY_OPEN if row.blocked else _UNSURE
    else:
        why = "nothing changed" if cached else ahead.planned.started.store.why_missing(row.keys[0])
    return Outlook(
        step.name, pass_.summary, cached, str(why), optional=step.optional, needs=pass_.requires.packages,
        runtime=runtime, skipped=skipped,
    )  # fmt: skip


def _choice(ahead: Ahead, ways: Sequence[Way]) -> Iterator[Outlook]:
    """Yield what is chosen from, where there is anything to choose."""
    first = ways[0].outcomes
    exported = next((each.model.digest for each in first if each.model is not None), "") if ahead.kind == TORCH else ""
    every = forms.forms(ways, (ways[0].start.model.digest, exported))
    able = list(forms.entrants(every, [way.runtime for way in ways], ahead.opened)) if ways[0].runtime else []
    if len(ways) < 2 and len({each.deployable.options for each in able}) < 2:
        return
    best = "smallest" if ahead.planned.loaded.recipe.objective is Objective.SIZE else "fastest"
    yield Outlook(
        "choose", f"the {best} that keeps the gates, of at most {_counted(able)}", False,
        "measured in each run; steps that refuse, and equal models, leave fewer",
    )  # fmt: skip


def _counted(able: Sequence[Entrant]) -> str:
    """Return how many there are, and what of."""
    where = list(dict.fromkeys(each.deployable.where for each in able))
    made = len({each.deployable.model.digest for each in able})
    places = " and ".join(filter(None, (", ".join(where[:-1]), where[-1])))
    return f"{len(able)} deployables: {made} form{'s' * (made != 1)} of the model, in {places}"
