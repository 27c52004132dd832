"""What a search may change of a recipe: steps that come and go, their marked keys, the runtime, options of sessions.

A point gives a value to every parameter that means something in it. It is a recipe, too: ``overrides`` writes it as the
``--set`` of ``mlopt optimize``. Which keys of a pass are searched, and with which values, stands in its configuration
(``mlopt.passes.base.Searched``); a pass that says ``proposed`` is tried where a recipe lacks it.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pydantic import JsonValue, ValidationError

from mlopt.core.hardware import Hardware
from mlopt.core.packages import version
from mlopt.formats.model import ONNX, Kind
from mlopt.passes.base import Pass, PassConfig
from mlopt.recipe.schema import Recipe, Step
from mlopt.results.study import SearchParameter
from mlopt.run import chain

Passes = Mapping[str, Pass[Any]]
Point = Mapping[str, JsonValue]
RUNTIME, SESSION, AS_IS = "target.runtime", "session", "as it is"
_TUNING = "tune_session"
_COUNTED = 2_000


def key_of(point: Point) -> str:
    """Return what two points have in common if they are the same."""
    return json.dumps(dict(point), sort_keys=True)


@dataclass(frozen=True)
class Slot:
    """A place in the chain: a step of the recipe, or one that the search may add."""

    label: str
    step: Step
    own: bool
    """Whether the recipe has it."""
    free: bool
    """Whether the search may leave it out."""

    @property
    def name(self) -> str:
        """The parameter that says whether it is there, which the names of its keys begin with."""
        return f"passes.{self.label}"


@dataclass(frozen=True)
class Space:
    """The parameters of one recipe on one machine."""

    recipe: Recipe
    passes: Passes
    hardware: Hardware
    kind: Kind
    """Of the source."""
    slots: tuple[Slot, ...]
    parameters: tuple[SearchParameter, ...]
    sessions: Mapping[str, Mapping[str, Mapping[str, JsonValue]]]
    """For each runtime, options that may be changed, by what the change is called."""
    _asked: dict[str, str | None] = field(default_factory=dict)

    @property
    def default(self) -> dict[str, JsonValue]:
        """The recipe's own chain, in the first of its runtimes."""
        return self.completed({})

    def completed(self, some: Point) -> dict[str, JsonValue]:
        """Return a whole point: what is not given, or not searched, is as the recipe has it; what means nothing goes.

        A step that may go does so where it writes for another runtime than the point's, as in a run of the recipe.
        """
        point: dict[str, JsonValue] = {}
        for each in self.parameters:
            if active(each, point):
                wanted = some.get(each.name, each.default)
                point[each.name] = next((value for value in each.values if _same(value, wanted)), each.default)
        foreign = next((slot.name for slot in self.slots if slot.free and self._is_foreign(slot, point)), None)
        return point if foreign is None else self.completed({**some, foreign: False})

    def points(self) -> Iterator[dict[str, JsonValue]]:
        """Yield every point, valid or not, the recipe's own first."""
        yield from self._from({}, list(self.parameters))

    def count(self) -> int | None:
        """Return how many valid points there are; None if they are too many to be worth counting."""
        every = list(itertools.islice(self.points(), _COUNTED))
        return None if len(every) == _COUNTED else sum(self.problem(each) is None for each in every)

    def recipe_of(self, point: Point) -> Recipe:
        """Return the recipe that a point is; raises ``ValidationError`` where keys of a step exclude each other."""
        target = self.recipe.target.model_copy(update={"runtime": point[RUNTIME]})
        return self.recipe.model_copy(update={"target": target, "passes": tuple(self._steps(point))})

    def changes_of(self, point: Point) -> Mapping[str, JsonValue]:
        """Return the options of the session that a point changes."""
        runtime = str(point[RUNTIME])
        return self.sessions.get(runtime, {}).get(str(point.get(session_of(runtime), AS_IS)), {})

    def problem(self, point: Point) -> str | None:
        """Say why a point is no recipe that could work here, or is not worth its time."""
        key = key_of(point)
        if key not in self._asked:
            self._asked[key] = self._problem(point)
        return self._asked[key]

    def overrides(self, point: Point) -> tuple[str, ...]:
        """Return a point as the overrides that make the recipe it."""
        recipe = self.recipe_of(point)
        steps = json.dumps([as_data(step) for step in recipe.passes])
        return f"passes={steps}", f"{RUNTIME}={json.dumps(point[RUNTIME])}"

    def config_of(self, slot: Slot, point: Point) -> PassConfig:
        """Return how a step is configured; raises ``ValidationError``."""
        given = {key: point[name] for key in type(slot.step.config).space() if (name := f"{slot.name}.{key}") in point}
        return type(slot.step.config).model_validate({**slot.step.config.model_dump(), **given})

    def _is_foreign(self, slot: Slot, point: Point) -> bool:
        """Whether a step that is there writes what the point's runtime is not sure to read."""
        if not point.get(slot.name, False):
            return False
        try:
            owner = self.config_of(slot, point).only_in
        except ValidationError:
            return False
        return owner is not None and owner[0] != point[RUNTIME]

    def _from(self, point: dict[str, JsonValue], rest: Sequence[SearchParameter]) -> Iterator[dict[str, JsonValue]]:
        while rest and not active(rest[0], point):
            rest = rest[1:]
        if not rest:
            yield point
            return
        for value in rest[0].values:
            yield from self._from({**point, rest[0].name: value}, rest[1:])

    def _steps(self, point: Point) -> Iterator[Step]:
        for slot in self.slots:
            if point.get(slot.name, slot.own):
                yield slot.step.model_copy(update={"config": self.config_of(slot, point)})
        if changes := self.changes_of(point):
            config = self.passes[_TUNING].config(options=dict(changes))
            yield Step(name=_TUNING, config=config)

    def _problem(self, point: Point) -> str | None:
        try:
            recipe = self.recipe_of(point)
        except ValidationError as error:
            return str(error.errors(include_url=False)[0]["msg"])
        misfit = next((each.what for each in chain.misfits(self.kind, recipe, self.passes)), None)
        return misfit or self._placed_wrong(recipe) or self._searching_again(point)

    def _placed_wrong(self, recipe: Recipe) -> str | None:
        """Say which step writes what this runtime is not sure to read."""
        (runtime,) = recipe.target.runtimes
        owners = ((step.name, step.config.only_in) for step in recipe.passes)
        return next((f"'{name}' writes for {own[0]}" for name, own in owners if own and own[0] != runtime), None)

    def _searching_again(self, point: Point) -> str | None:
        """Say which step would measure for minutes by itself, on another input than in the recipe's own chain."""
        own = self.completed({RUNTIME: point[RUNTIME]})
        before = True
        for slot in self.slots:
            if point.get(slot.name, slot.own) and self.config_of(slot, point).searches and not before:
                return f"'{slot.label}' measures for minutes by itself, and is tried as the recipe has it alone"
            before = before and all(point.get(key) == own.get(key) for key in {*point, *own} if _is_of(key, slot))
        return None


def space_of(
    recipe: Recipe, passes: Passes, hardware: Hardware, kind: Kind,
    sessions: Mapping[str, Mapping[str, Mapping[str, JsonValue]]], only: Sequence[str] = (),
) -> Space:  # fmt: skip
    """Return what may be searched; ``sessions`` are the changes of options for each runtime that the chain is run in.

    ``only`` are the names, or beginnings of names, of the parameters that are to vary: the others stay as they are.
    """
    slots = tuple(_slots(recipe, passes))
    made = partial(Space, recipe, passes, hardware, kind, slots)
    bare = made((), sessions)
    every = [SearchParameter(name=RUNTIME, values=tuple(sessions), default=next(iter(sessions)))]
    for slot in slots:
        every += _of_slot(slot, bare, next(iter(sessions)))
    for runtime, changes in sessions.items():
        if changes:
            when = {RUNTIME: (runtime,)} if len(sessions) > 1 else {}
            values = (AS_IS, *changes)
            every.append(SearchParameter(name=session_of(runtime), values=values, default=AS_IS, when=when))
    wanted = [_held(each) if only and not each.name.startswith(tuple(only)) else each for each in every]
    asked = {RUNTIME, *(name for each in wanted if len(each.values) > 1 for name in each.when)}
    kept = tuple(each for each in wanted if len(each.values) > 1 or each.name in asked)
    return made(kept, sessions)


def session_of(runtime: str) -> str:
    """Return the parameter of a runtime's options."""
    return f"{SESSION}.{runtime}"


def active(parameter: SearchParameter, point: Point) -> bool:
    """Whether a parameter means something, beside what a point says so far."""
    return all(name in point and point[name] in values for name, values in parameter.when.items())


def as_data(step: Step) -> str | dict[str, Any]:
    """Return a step as a recipe would say it, defaults left out."""
    body = step.config.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    body |= {"optional": True} if step.optional else {}
    return {step.name: body} if body else step.name


def _held(parameter: SearchParameter) -> SearchParameter:
    return parameter.model_copy(update={"values": (parameter.default,)})


def _slots(recipe: Recipe, passes: Passes) -> Iterator[Slot]:
    """Yield the recipe's steps, and before each those that may be added and stand before it in the table of passes."""
    order = list(passes)
    names = [step.name for step in recipe.passes]
    able = (name for name in order if passes[name].proposed and not any(map(_absent, passes[name].requires.packages)))
    waiting = [name for name in able if name not in names]
    for number, step in enumerate(recipe.passes):
        if passes[step.name].accepts == {ONNX}:
            early = [name for name in waiting if order.index(name) < order.index(step.name)]
            yield from (_added(name, passes) for name in early)
            waiting = [name for name in waiting if name not in early]
        if step.name == _TUNING and step.config.searches:
            continue  # its options are parameters of their own
        label = step.name if names.count(step.name) == 1 else str(number)
        yield Slot(label, step, own=True, free=_may_go(step, passes))
    yield from (_added(name, passes) for name in waiting)


def _added(name: str, passes: Passes) -> Slot:
    return Slot(name, Step(name=name, config=passes[name].config(), optional=True), own=False, free=True)


def _may_go(step: Step, passes: Passes) -> bool:
    """Whether a chain without the step is as right: it is optional, or changes nothing that anybody could see."""
    pass_ = passes[step.name]
    narrows = type(step.config).narrowed is not PassConfig.narrowed
    return step.optional or not (pass_.lossy or narrows or pass_.accepts != {pass_.produces})


def _of_slot(slot: Slot, bare: Space, runtime: str) -> Iterator[SearchParameter]:
    """Yield the parameters of a step: whether it is there, and its keys with the values that it takes."""
    if slot.free:
        yield SearchParameter(name=slot.name, values=(slot.own, not slot.own), default=slot.own)
    for key, mark in type(slot.step.config).space().items():
        own, name = slot.step.config.model_dump(mode="json")[key], f"{slot.name}.{key}"
        when = {f"{slot.name}.{other}": value for other, value in mark.when.items()}
        there = {slot.name: True, **when, RUNTIME: runtime}
        fits = [value for value in dict.fromkeys((own, *mark.values)) if _fits(slot, bare, {**there, name: value})]
        conditions = {other: (value,) for other, value in when.items()}
        yield SearchParameter(
            name=name, values=tuple(fits) if own in fits else (own,), default=own,
            when=({slot.name: (True,)} if slot.free else {}) | conditions,
        )  # fmt: skip


def _fits(slot: Slot, bare: Space, point: Point) -> bool:
    """Whether a step takes a value, with everything else as the recipe has it, and finds what it needs here."""
    try:
        config = bare.config_of(slot, point)
    except ValidationError:
        return False
    return next(iter(config.lacking(bare.hardware.gpu)), None) is None


def _same(one: JsonValue, other: JsonValue) -> bool:
    """Whether two values are equal and of one type: 1 is not true."""
    return type(one) is type(other) and one == other


def _absent(package: str) -> bool:
    return version(package) is None


def _is_of(name: str, slot: Slot) -> bool:
    return name == slot.name or name.startswith(f"{slot.name}.")
