"""A study, from its first trial to the signed artifact: the map of ``mlopt tune``.

    recipe -> own (what `optimize` would ship) -> search (proposed, built, judged, raced) -> finish (the best of both,
    raced again) -> execute (the recipe that the winner is, as any recipe is run: measured, judged, packed, signed)

What a study learns lies in its folder: the journal, the best models so far, and in the end ``study.json`` and its page.
The same command goes on with it. Raises ``MloptError``; Ctrl-C leaves all that was found.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from mlopt.core.errors import MloptError, OutputError
from mlopt.core.voice import Say, unsaid
from mlopt.results.study import Ended, StudyRecord, TrialRecord
from mlopt.run import optimize
from mlopt.run.request import Request
from mlopt.run.start import silent, start
from mlopt.run.timeline import Notify
from mlopt.runtimes.base import Deployable
from mlopt.tune import ablation, finish, keeping, own, prior, record
from mlopt.tune.asked import Asked, StudyResult
from mlopt.tune.executor import Executor
from mlopt.tune.journal import Journal
from mlopt.tune.laboratory import RecipeLaboratory
from mlopt.tune.local import LocalExecutor
from mlopt.tune.search import Limits, StudySearch, Why
from mlopt.tune.space import Point
from mlopt.tune.texts import recipe_text

_FINISH, _FINISH_BLOCKS, _MOST_FINISH = 60.0, 30, 0.6
"""Seconds that are kept for the end, and what each second of measuring adds; at most that share of the budget."""
_PATIENCE = 24


@dataclass(frozen=True)
class Opening:
    """Makes the laboratory of a request; it travels to where the work is done."""

    request: Request
    only: tuple[str, ...] = ()

    def __call__(self, notify: Notify = silent, say: Say = unsaid) -> RecipeLaboratory:
        """Read recipe and data, and build the source; raises ``MloptError`` as the first stages of a run do."""
        with ExitStack() as stack:
            started = stack.enter_context(start(self.request, notify, say))
            prepared = optimize.ready(optimize.plan(started))
            return RecipeLaboratory(prepared, self.only, stack.pop_all())


MakeExecutor = Callable[[Opening, RecipeLaboratory], AbstractContextManager[Executor]]


def local(_opening: Opening, laboratory: RecipeLaboratory) -> AbstractContextManager[Executor]:
    """Do all work in this process."""
    return LocalExecutor(laboratory)


def run(asked: Asked, notify: Notify = silent, say: Say = unsaid, make: MakeExecutor = local) -> StudyResult:
    """Search, race the best once more, and run the recipe that won; ``make`` says where trials are done."""
    request = own.within(asked.request, asked.budget)
    opening = Opening(request, asked.only)
    with opening(notify, say) as laboratory:
        folder = asked.at(laboratory.prepared.planned.loaded.recipe.name)
        about = record.about(laboratory.prepared, laboratory.runtimes, asked.request, asked.only)
        study = _Study(asked, folder, laboratory, Journal(folder, laboratory.space, asked.seed, about))
        with make(opening, laboratory) as executor:
            why = study.searched(executor)
        notify("finish", "the best trials against the recipe's own result", None)
        final = study.decided()
        found = study.found(why, final)
        point = final.winner.params if final.winner is not None else None
        text = recipe_text(request, laboratory.prepared.planned.loaded, laboratory.space, point)
        chosen = request if point is None else _of_point(request, laboratory, point)
        study.remember()
    artifact = optimize.execute(chosen, notify, say)
    study.note_time()
    found = found.model_copy(update={"ended": study.ended(why)})
    return StudyResult(artifact, found, text, folder)


def outlook(asked: Asked) -> record.SpaceOutlook:
    """Return what would be searched, and with what first, without a trial."""
    with Opening(replace(asked.request, sign=False), asked.only)() as laboratory:
        space = laboratory.space
        traits = prior.traits_of(laboratory.baseline.model, laboratory.macs)
        first = [(space.default, "recipe"), *prior.first_points(space, traits, space.default)]
        return record.SpaceOutlook(space.parameters, space.count(), tuple(
            (dict(point), origin) for point, origin in first if space.problem(point) is None
        ))  # fmt: skip


def _of_point(request: Request, laboratory: RecipeLaboratory, point: Point) -> Request:
    return replace(request, overrides=(*request.overrides, *laboratory.space.overrides(point)))


class _Study:
    """One run of a study, on a laboratory and a journal."""

    def __init__(self, asked: Asked, folder: Path, laboratory: RecipeLaboratory, journal: Journal) -> None:
        self.asked, self.folder, self.laboratory, self.journal = asked, folder, laboratory, journal
        self.objective = laboratory.prepared.planned.loaded.recipe.objective
        self._before = journal.earlier()
        self._started = time.time()
        self.journal.took(self._before, 0.0)
        self.own: Deployable
        self.search: StudySearch

    @property
    def seconds(self) -> float:
        """What all runs took so far."""
        return sum(self._before) + time.time() - self._started

    def note_time(self) -> None:
        """Let the next run know what this one took."""
        self.journal.took(self._before, time.time() - self._started)

    def searched(self, executor: Executor) -> Why:
        """Find out what the recipe comes to by itself, and then try points until there is a reason to stop."""
        began = self._started - sum(self._before)
        self.search = StudySearch(
            executor, self.journal, self._limits(), self.objective, began, tell=self._tell, moved=self._moved
        )
        self.own = self._own()
        if not self.journal.seeded:
            self._seed()
        why = self.search.run()
        if why == "converged" and self.search.best is not None:
            self._ablate(self.search.best)
        return why

    def decided(self) -> finish.Final:
        """Race the best trials against what the recipe comes to by itself."""
        one, measure = self.laboratory, self.laboratory.prepared.planned.loaded.recipe.measure
        race = finish.LastRace(one.raced, one.deployable, measure)
        return finish.decided(race, self.own, self.search.ranked(), self.objective)

    def ended(self, why: Why) -> Ended:
        """Return how this run ended."""
        return Ended(why=why, seconds=round(self.seconds, 1), resumed=len(self._before))

    def found(self, why: Why, final: finish.Final) -> StudyRecord:
        """Return the study as it stands."""
        best = final.winner if final.winner is not None else self._recipe_record()
        return record.study(
            self.laboratory.prepared.planned.loaded, self.laboratory.space, self.asked.request, self.journal.records,
            best=best.number if best is not None else None, budget=self.asked.budget, seed=self.asked.seed,
            final=(final.speedup, final.ci95) if final.winner is not None else (None, None), ended=self.ended(why),
        )  # fmt: skip

    def remember(self) -> None:
        """Let later studies of models like this begin where this one ended; that they cannot takes nothing from it."""
        with suppress(OSError, OutputError):
            prior.remember(
                self.laboratory.started.store.root, self._traits,
                self.laboratory.prepared.planned.hardware.cpu, self.objective.value, self.search.ranked(),
            )  # fmt: skip

    @cached_property
    def _traits(self) -> prior.Traits:
        return prior.traits_of(self.laboratory.baseline.model, self.laboratory.macs)

    def _limits(self) -> Limits:
        budget, measure = self.asked.budget, self.laboratory.prepared.planned.loaded.recipe.measure
        if budget is None:
            deadline = float("inf")
        else:
            kept = min(_MOST_FINISH * budget, _FINISH + _FINISH_BLOCKS * measure.seconds)
            deadline = self._started + budget - kept - sum(self._before)
        patience = None if self.asked.exhaustive else max(_PATIENCE, 2 * len(self.laboratory.space.parameters))
        return Limits(deadline, self.asked.trials, patience)

    def _own(self) -> Deployable:
        """Return what the recipe comes to by itself: as it was kept, or found now and journalled as the first trial."""
        folder = self.folder / keeping.OWN
        known = keeping.kept(folder, self.laboratory.baseline) if self._recipe_record() is not None else None
        if known is not None:
            return known
        found = self._found_by_itself()
        for name in (keeping.OWN, keeping.BEST):
            keeping.keep(found.deployable, self.folder / name)
        if self._recipe_record() is None:
            self.journal.insist(found.point, own.ORIGIN, anyway=True)
            (proposed,) = self.journal.ask(1)
            began = max(0.0, self.seconds - found.seconds)
            measured = self.laboratory.measured(found.deployable)
            self.search.tell_of(own.told(found, measured, proposed.number, began, self.laboratory.node))
        return found.deployable

    def _found_by_itself(self) -> own.OwnResult:
        """Run the recipe's chain in each of its runtimes, and choose, as a run of the recipe does."""
        began, prepared = time.monotonic(), self.laboratory.prepared
        chosen = optimize.choose(prepared, optimize.transform(prepared))
        recipe = prepared.planned.loaded.recipe
        return own.result(self.laboratory.space, recipe, chosen, time.monotonic() - began)

    def _recipe_record(self) -> TrialRecord | None:
        return next((each for each in self.journal.records if each.origin == own.ORIGIN), None)

    def _seed(self) -> None:
        space, known = self.laboratory.space, self._recipe_record()
        if self.asked.exhaustive:
            self.journal.seed([(point, "search") for point in space.points() if space.problem(point) is None])
            return
        planned = self.laboratory.prepared.planned
        first = prior.first_points(space, self._traits, known.params if known else space.default)
        earlier = prior.earlier_points(
            space, self._traits, self.laboratory.started.store.root, planned.hardware.cpu, self.objective.value
        )
        shorter = ablation.without(space, known.params) if known else ()
        self.journal.seed([*earlier, *((point, ablation.ORIGIN) for point in shorter), *first])

    def _ablate(self, best: TrialRecord) -> None:
        """Try the best without each of its steps, so that the page can say what each is worth."""
        wanted = [point for point in ablation.without(self.laboratory.space, best.params)
                  if self.journal.insist(point, ablation.ORIGIN)]  # fmt: skip
        if wanted:
            self.search.attempt(self.journal.ask(len(wanted)))

    def _tell(self, text: str) -> None:
        budget = self.asked.budget
        self.note_time()
        self.laboratory.started.notify("search", text, min(1.0, self.seconds / budget) if budget else None)

    def _moved(self, best: TrialRecord) -> None:
        """Keep the best model so far; that of the recipe by itself is kept already."""
        if best.origin != own.ORIGIN:
            with suppress(MloptError):
                model = self.laboratory.deployable(best.params, best.options)
                keeping.keep(model, self.folder / keeping.BEST)
