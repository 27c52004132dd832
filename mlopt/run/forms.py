"""Which deployables a chain leaves to choose from: each form of the model that its steps made, however it may be run.

A step that was dropped in one runtime left a form that may be the fastest in another; so it counts as one. What a
required step has yet to change cannot be shipped; the source is looked at all the same, since how fast it is unchanged,
in any runtime, is what the passes have to improve on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from mlopt.results.report import Tried
from mlopt.run.outcomes import Outcome, Way
from mlopt.runtimes.base import Deployable, RuntimeOptions
from mlopt.runtimes.table import other_runtime, runtime_named


@dataclass(frozen=True)
class Form:
    """One form of the model, in the way that made it."""

    name: str
    deployable: Deployable
    way: Way
    number: int | None
    """The place of the step that made it; None for the source."""
    shippable: bool
    unchanged: bool
    """Whether it is the source as it came, or as it is only exported."""

    @property
    def last(self) -> bool:
        """Whether it is what the whole chain came to, in its way."""
        kept = [number for number, each in enumerate(self.way.outcomes) if each.kept is not None]
        return self.number == (kept[-1] if kept else None)

    def outcomes(self, shipped: Deployable) -> tuple[Outcome, ...]:
        """Return the steps that lead to ``shipped``, which is this form; what comes after it is left out."""
        if self.number is None:
            return tuple(_unused(each, shipped) for each in self.way.outcomes)
        before = self.way.outcomes[: self.number]
        own, *after = self.way.outcomes[self.number :]
        kept = own if own.status != "dropped" else _kept_after_all(own, shipped)
        return (*before, replace(kept, deployable=shipped), *(_unused(each, shipped) for each in after))


@dataclass(frozen=True)
class Entrant:
    """A deployable that may be shipped: a form of the model with a way to run it."""

    form: Form
    deployable: Deployable
    shippable: bool

    @property
    def name(self) -> str:
        """What it is called while it is measured; no two have one name."""
        return f"{self.form.name}: {self.deployable.where}"

    @property
    def told(self) -> str:
        """The same inside a sentence."""
        model = "the source" if self.form.number is None else f"the model {self.form.name}"
        return f"{model}, in {self.deployable.where}"


@dataclass(frozen=True)
class Selected:
    """What was chosen, and what became of the others."""

    shipped: Entrant | None
    """None if nothing that may be shipped keeps the gates."""
    finalists: tuple[Entrant, ...]
    """Those that no race told apart from it."""
    fastest_source: Entrant | None
    tried: tuple[Tried, ...]
    spent: Mapping[str, float]


def forms(ways: Sequence[Way], unchanged: Sequence[str]) -> list[Form]:
    """Return the forms of all ways; ``unchanged`` are the digests of what no step has changed.

    Each model is one form, or two if a step that writes for one runtime alone has left it as it was: what is required
    there has been done in one of them. With options that a step has chosen it is one more, in its runtime alone.
    """
    found: dict[tuple[object, ...], Form] = {}
    for place, way in enumerate(ways):
        if way.lost is not None:
            continue
        taken = runtime_named(way.runtime).kinds
        last = max((n for n, each in enumerate(way.outcomes) if _required(each)), default=-1)
        made = [(None, way.start), *((n, each.deployable) for n, each in enumerate(way.outcomes) if _is_form(each))]
        for number, deployable in made:
            if deployable is None or deployable.model.kind not in taken:
                continue
            where = f", in {way.runtime}" if place else ""
            name = "source" if number is None else f"after {way.outcomes[number].step.name} ({number + 1}{where})"
            digest = deployable.model.digest
            shippable = (-1 if number is None else number) >= last
            form = Form(name, deployable, way, number, shippable, digest in unchanged)
            key = digest, _readers(form), _tuned(form)
            if key not in found or (shippable and not found[key].shippable):
                found[key] = form
    return [each for each in found.values() if each.shippable or each.unchanged]


def entrants(
    every: Sequence[Form], runtimes: Sequence[str], choices: Callable[[Deployable], Sequence[Deployable]]
) -> Iterator[Entrant]:
    """Yield each form in each runtime that takes it, opened in each of the ways that ``choices`` gives."""
    seen = set()
    for form in every:
        only = _readers(form)
        for name in runtimes:
            taken = form.deployable.model.kind in runtime_named(name).kinds
            elsewhere = name != form.deployable.runtime and _tuned(form) is not None
            if not taken or (only and name not in only) or elsewhere:
                continue
            shippable = form.shippable and not _owes(form, name)
            for chosen in choices(other_runtime(form.deployable, name)) if shippable or form.unchanged else ():
                if chosen.identity not in seen:
                    seen.add(chosen.identity)
                    yield Entrant(form, chosen, shippable)


def _tuned(form: Form) -> tuple[str, RuntimeOptions] | None:
    """Return runtime and options, if those are not what the runtime opens any model with."""
    one, common = form.deployable, form.way.start.options
    usual = runtime_named(one.runtime).options(threads=common.threads, device=common.device)
    return None if one.options == usual else (one.runtime, one.options)


def _owes(form: Form, runtime: str) -> bool:
    """Whether a required step that writes for this runtime alone comes after the form."""
    after = form.way.outcomes[0 if form.number is None else form.number + 1 :]
    readers = (each.step.config.only_in for each in after if not each.step.optional and each.kept is not None)
    return any(reader is not None and reader[0] == runtime for reader in readers)


def _readers(form: Form) -> frozenset[str]:
    """Return the runtimes for which alone steps on the way to a form have written; any reads it if there are none."""
    readers = (each.step.config.only_in for each in _lineage(form))
    return frozenset(reader[0] for reader in readers if reader is not None)


def _lineage(form: Form) -> list[Outcome]:
    """Return the steps whose results are in a form."""
    if form.number is None:
        return []
    before = [each for each in form.way.outcomes[: form.number] if each.kept is not None]
    return [*before, form.way.outcomes[form.number]]


def _is_form(outcome: Outcome) -> bool:
    """Whether a step left a model; one that is lossless by its word, and was not, left none."""
    return outcome.deployable is not None and not outcome.broken


def _required(outcome: Outcome) -> bool:
    """Whether what is shipped must have been through a step, in whatever runtime."""
    return not outcome.step.optional and outcome.kept is not None and outcome.step.config.only_in is None


def _unused(outcome: Outcome, shipped: Deployable) -> Outcome:
    """Return a step that what is shipped does without."""
    if outcome.kept is None:
        return outcome
    reason = f"without it the model is the faster one, in {shipped.runtime}"
    return replace(outcome, status="dropped", reason=reason)


def _kept_after_all(outcome: Outcome, shipped: Deployable) -> Outcome:
    """Return a step that its own way dropped, and that is in what is shipped."""
    notes = {**(outcome.notes or {}), "dropped before": outcome.reason}
    return replace(outcome, status="applied", reason=f"it is the fastest, in {shipped.runtime}", notes=notes)
