"""A study, from its first trial to the signed artifact: the map of ``mlopt tune``.

    recipe -> own (what `optimize` would ship) -> search (proposed, built, judged, raced) -> finish (the best of both,
    raced again) -> execute (the recipe that the winner is, as any recipe is run: measured, judged, packed, signed)

What a study learns lies in its folder: the journal, the best models so far, and in the end ``study.json`` and its page.
The same command goes on with it. Raises ``MloptError``; Ctrl-C leaves all that was found.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from mlopt.core.errors import MloptError, OutputError
from mlopt.core.hardware import detect
from mlopt.core.voice import Say, unsaid
from mlopt.report import study as pages
from mlopt.results.environment import environment
from mlopt.results.study import Ended, StudyRecord, TrialRecord
from mlopt.run import optimize
from mlopt.run.packaging import Artifact
from mlopt.run.request import Request
from mlopt.run.start import silent
from mlopt.run.timeline import Notify
from mlopt.runtimes.base import Deployable
from mlopt.tune import ablation, finish, keeping, own, prior, record
from mlopt.tune.executor import Executor
from mlopt.tune.journal import Journal
from mlopt.tune.laboratory import Opening, RecipeLaboratory
from mlopt.tune.local import LocalExecutor
from mlopt.tune.search import Limits, Search, Why
from mlopt.tune.space import Point
from mlopt.tune.texts import recipe_text

SUFFIX = ".study"
_FINISH, _FINISH_BLOCKS, _MOST_FINISH = 60.0, 30, 0.35
"""Seconds that are kept for the end, and what each second of measuring adds; at most that share of the budget."""
_PATIENCE = 24


@dataclass(frozen=True)
class Asked:
    """What a user asks of a study; ``request`` is what an ordinary run of the recipe would be asked."""

    request: Request
    folder: Path | None = None
    """Of the study; None: beside the artifact."""
    budget: float | None = None
    """Seconds for all runs of the study together, the last race and the artifact included."""
    trials: int | None = None
    """The most trials."""
    only: tuple[str, ...] = ()
    """Names, or beginnings of names, of the parameters that vary; all, if there are none."""
    exhaustive: bool = False
    """Whether every point is tried, in order, whatever comes of it."""
    seed: int = 0

    def at(self, name: str) -> Path:
        """Return the folder of the study of a recipe."""
        output = self.request.output or self.request.folder / name
        return self.folder or output.with_name(f"{output.name}{SUFFIX}")


@dataclass(frozen=True)
class Tuned:
    """What a study came to."""

    artifact: Artifact
    study: StudyRecord
    recipe: str
    """The text of the recipe that made the artifact."""
    folder: Path


MakeExecutor = Callable[[Opening, RecipeLaboratory], AbstractContextManager[Executor]]


def local(_opening: Opening, laboratory: RecipeLaboratory) -> AbstractContextManager[Executor]:
    """Do all work in this process."""
    return LocalExecutor(laboratory)


def run(asked: Asked, notify: Notify = silent, say: Say = unsaid, make: MakeExecutor = local) -> Tuned:
    """Search, race the best once more, and run the recipe that won; ``make`` says where trials are done."""
    request = own.within(asked.request, asked.budget)
    opening = Opening(request, asked.only)
    with RecipeLaboratory(opening, notify, say) as laboratory:
        folder = asked.at(laboratory.prepared.planned.loaded.recipe.name)
        about = record.about(laboratory, asked.request, asked.only)
        study = _Study(asked, folder, laboratory, Journal(folder, laboratory.space, asked.seed, about))
        with make(opening, laboratory) as executor:
            why = study.searched(executor)
        notify("finish", "the best trials against the recipe's own result", None)
        final = finish.decided(laboratory, study.own, study.search.ranked(), study.objective)
        found = study.found(why, final)
        point = final.winner.params if final.winner is not None else None
        text = recipe_text(request, laboratory.prepared.planned.loaded, laboratory.space, point)
        chosen = request if point is None else _of_point(request, laboratory, point)
        study.remember()
    artifact = optimize.execute(chosen, notify, say)
    study.note_time()
    found = found.model_copy(update={"ended": study.ended(why)})
    pages.write(found, folder, text)
    return Tuned(artifact, found, text, folder)


def outlook(asked: Asked) -> record.SpaceOutlook:
    """Return what would be searched, and with what first, without a trial."""
    with RecipeLaboratory(Opening(replace(asked.request, sign=False), asked.only)) as laboratory:
        space = laboratory.space
        traits = prior.traits_of(laboratory.baseline.model)
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
        self.search: Search

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
        self.search = Search(
            executor, self.journal, self._limits(), self.objective, began, tell=self._tell, moved=self._moved
        )
        self.own = self._own()
        if not self.journal.seeded:
            self._seed()
        why = self.search.run()
        if why == "converged" and self.search.best is not None:
            self._ablate(self.search.best)
        return why

    def ended(self, why: Why) -> Ended:
        """Return how this run ended."""
        return Ended(why=why, seconds=round(self.seconds, 1), resumed=len(self._before))

    def found(self, why: Why, final: finish.Final) -> StudyRecord:
        """Return the study as it stands."""
        best = final.winner if final.winner is not None else self._recipe_record()
        return record.study(
            self.laboratory, self.asked.request, self.journal.records, best=best, final=final,
            budget=self.asked.budget, seed=self.asked.seed, environment=environment(detect()), ended=self.ended(why),
        )  # fmt: skip

    def remember(self) -> None:
        """Let later studies of models like this begin where this one ended; that they cannot takes nothing from it."""
        with suppress(OSError, OutputError):
            prior.remember(
                self.laboratory.started.store.root, prior.traits_of(self.laboratory.baseline.model),
                self.laboratory.prepared.planned.hardware.cpu, self.objective.value, self.search.ranked(),
            )  # fmt: skip

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
        found = own.found(self.laboratory)
        keeping.keep(found.deployable, folder)
        if self._recipe_record() is None:
            self.journal.insist(found.point, own.ORIGIN)
            (proposed,) = self.journal.ask(1)
            self.search.tell_of(own.told(self.laboratory, found, proposed.number, self.search.began))
        return found.deployable

    def _recipe_record(self) -> TrialRecord | None:
        return next((each for each in self.journal.records if each.origin == own.ORIGIN), None)

    def _seed(self) -> None:
        space, known = self.laboratory.space, self._recipe_record()
        if self.asked.exhaustive:
            self.journal.seed([(point, "search") for point in space.points() if space.problem(point) is None])
            return
        traits, planned = prior.traits_of(self.laboratory.baseline.model), self.laboratory.prepared.planned
        first = prior.first_points(space, traits, known.params if known else space.default)
        earlier = prior.earlier_points(
            space, traits, self.laboratory.started.store.root, planned.hardware.cpu, self.objective.value
        )
        self.journal.seed([*earlier, *first])

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
        """Keep the best model so far; that of the recipe by itself is kept already, in a folder of its own."""
        if best.origin != own.ORIGIN:
            with suppress(MloptError):
                model = self.laboratory.deployable(best.params, best.options)
                keeping.keep(model, self.folder / keeping.BEST)
