"""What was proposed and what became of it, in an append-only file that outlives any kill: a study of Optuna.

A trial is journalled when it is proposed and again when it is told of, each in one locked write; whoever opens the file
later gets what was told, and first of all what was proposed and not told. Values are kept as JSON text, since Optuna
takes no lists. A point that was proposed before is no trial: it is told to Optuna as failed, which it does not learn
from, and another is asked for.
"""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue, ValidationError

from mlopt.core.errors import MissingPackage, UserError
from mlopt.core.packages import install_command, version
from mlopt.results.study import TrialRecord
from mlopt.tune.space import Point, Space, active, key_of

FILE = "journal.log"
_ORIGIN, _RECORD, _ABOUT, _TOOK, _SEEDED = "origin", "record", "about", "took", "seeded"
_STARTUP, _REPEATS, _DRAWS = 8, 20, 300


@dataclass(frozen=True)
class Proposed:
    """A point to be tried."""

    number: int
    point: dict[str, JsonValue]
    origin: str


class Journal:
    """The study in a folder, made or gone on with; ``seed`` orders what is drawn.

    Raises ``MissingPackage`` without Optuna, ``UserError`` if the folder holds the study of something else, which
    ``about`` tells: what its trials depend on, by name.
    """

    def __init__(self, folder: Path, space: Space, seed: int, about: Mapping[str, str]) -> None:
        optuna = _library()
        self._optuna, self._space, self._random = optuna, space, random.Random(seed)  # noqa: S311 - no secret
        folder.mkdir(parents=True, exist_ok=True)
        path = str(folder / FILE)
        backend = optuna.storages.journal.JournalFileBackend(path, optuna.storages.journal.JournalFileOpenLock(path))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # `group`, for years
            sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True, n_startup_trials=_STARTUP)
        self._study = optuna.create_study(
            storage=optuna.storages.JournalStorage(backend), study_name="mlopt", sampler=sampler,
            load_if_exists=True,
        )  # fmt: skip
        self._check(about, folder)
        self.records: list[TrialRecord] = []
        """What was told, in the order of the trials."""
        self._seen: set[str] = set()
        self._open: list[Proposed] = []
        self._asked: dict[int, Any] = {}
        self._read()

    @property
    def seconds(self) -> float:
        """What earlier runs of this study took."""
        return float(sum(self._study.user_attrs.get(_TOOK, ())))

    @property
    def runs(self) -> int:
        """How many runs there were before this one."""
        return len(self._study.user_attrs.get(_TOOK, ()))

    @property
    def seeded(self) -> bool:
        """Whether first points were proposed already."""
        return bool(self._study.user_attrs.get(_SEEDED))

    def took(self, before: Sequence[float], seconds: float) -> None:
        """Note what this run took so far, after those before it."""
        self._study.set_user_attr(_TOOK, [*before, round(seconds, 1)])

    def earlier(self) -> list[float]:
        """Return what each run took, as far as it came to note it."""
        return list(self._study.user_attrs.get(_TOOK, ()))

    def seed(self, points: Sequence[tuple[Point, str]]) -> None:
        """Let these be tried first, each with who proposes it."""
        for point, origin in points:
            self.insist(point, origin)
        self._study.set_user_attr(_SEEDED, True)

    def insist(self, point: Point, origin: str, *, anyway: bool = False) -> bool:
        """Let a point be tried next, unless it was proposed before or, if not ``anyway``, could not work.

        Returns whether it will be.
        """
        if key_of(point) in self._seen or not (anyway or self._space.problem(point) is None):
            return False
        self._seen.add(key_of(point))
        self._study.enqueue_trial(_texts(point), user_attrs={_ORIGIN: origin})
        return True

    def ask(self, most: int) -> list[Proposed]:
        """Return so many points, none of which was returned before in this study; fewer when there are no more."""
        found: list[Proposed] = []
        while len(found) < most and (proposed := self._open.pop(0) if self._open else self._next()) is not None:
            found.append(proposed)
        return found

    def tell(self, record: TrialRecord, value: float | None, *, infeasible: bool) -> None:
        """Journal what became of a trial; ``value`` is what the search makes small, None if there is none."""
        trial = self._asked[record.number]
        trial.set_user_attr(_RECORD, record.model_dump_json())
        self.records.append(record)
        if value is None:
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
            return
        trial.set_constraint("gates", 1.0 if infeasible else 0.0)
        self._study.tell(trial, value)

    def _next(self) -> Proposed | None:
        """Ask Optuna until it proposes something new; if it goes on repeating itself, draw one."""
        for _ in range(_REPEATS):
            trial = self._study.ask()
            point = self._suggested(trial)
            key, queued = key_of(point), _ORIGIN in trial.user_attrs
            if queued or (key not in self._seen and self._space.problem(point) is None):
                self._seen.add(key)
                self._asked[trial.number] = trial
                return Proposed(trial.number, point, trial.user_attrs.get(_ORIGIN, "search"))
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        drawn = self._drawn()
        return self._next() if drawn is not None and self.insist(drawn, "search") else None

    def _drawn(self) -> dict[str, JsonValue] | None:
        """Return a point that is new, at random, or else the first that is; None if there is none."""
        for _ in range(_DRAWS):
            values = {each.name: self._random.choice(each.values) for each in self._space.parameters}
            point = self._space.completed(values)
            if self._new(point):
                return point
        return next(filter(self._new, self._space.points()), None)

    def _new(self, point: Point) -> bool:
        return key_of(point) not in self._seen and self._space.problem(point) is None

    def _suggested(self, trial: Any) -> dict[str, JsonValue]:
        point: dict[str, JsonValue] = {}
        for each in self._space.parameters:
            if active(each, point):
                texts = [json.dumps(value) for value in each.values]
                point[each.name] = json.loads(trial.suggest_categorical(each.name, texts))
        return point

    def _read(self) -> None:
        """Take up what the file holds; what was proposed and not told comes first again."""
        states, running = self._optuna.trial.TrialState, []
        for frozen in self._study.get_trials(deepcopy=False):
            if (text := frozen.user_attrs.get(_RECORD)) is not None:
                record = TrialRecord.model_validate_json(text)
                self.records.append(record)
                self._seen.add(key_of(record.params))
            elif frozen.state == states.RUNNING:
                running.append(frozen)
            elif frozen.state == states.WAITING:
                fixed = frozen.system_attrs.get("fixed_params", {})
                self._seen.add(key_of({name: json.loads(text) for name, text in fixed.items()}))
        for frozen in running:
            self._go_on(frozen)

    def _go_on(self, frozen: Any) -> None:
        """Take up a trial that was under way: proposed again under its number, unless it was not yet whole."""
        trial = self._optuna.trial.Trial(self._study, frozen._trial_id)
        point = self._suggested(trial)
        queued = _ORIGIN in trial.user_attrs
        if key_of(point) in self._seen or not (queued or self._space.problem(point) is None):
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
            return
        self._seen.add(key_of(point))
        self._asked[trial.number] = trial
        self._open.append(Proposed(trial.number, point, trial.user_attrs.get(_ORIGIN, "search")))

    def _check(self, about: Mapping[str, str], folder: Path) -> None:
        known = self._study.user_attrs.get(_ABOUT)
        if known is None:
            self._study.set_user_attr(_ABOUT, dict(about))
            return
        other = [name for name in {**known, **about} if known.get(name) != about.get(name)]
        if other:
            raise UserError(
                f"this study was made with another {' and another '.join(sorted(other))}", where=str(folder),
                got=", ".join(f"{name} {str(about.get(name))[:40]}" for name in sorted(other)),
                expected=", ".join(f"{name} {str(known.get(name))[:40]}" for name in sorted(other)),
                fix=f"--study DIR begins one elsewhere; `rm -r {folder}` does without what this one found",
            )  # fmt: skip


def recorded(folder: Path) -> Iterator[TrialRecord]:
    """Yield what the journal in a folder holds, without taking it up; raises ``MissingPackage`` without Optuna."""
    optuna = _library()
    if not (folder / FILE).is_file():
        return
    backend = optuna.storages.journal.JournalFileBackend(str(folder / FILE))
    study = optuna.load_study(study_name="mlopt", storage=optuna.storages.JournalStorage(backend))
    for frozen in study.get_trials(deepcopy=False):
        if (text := frozen.user_attrs.get(_RECORD)) is not None:
            try:
                yield TrialRecord.model_validate_json(text)
            except ValidationError:
                continue


def _texts(point: Point) -> dict[str, str]:
    return {name: json.dumps(value) for name, value in point.items()}


def _library() -> Any:
    if version("optuna") is None:
        raise MissingPackage("optuna is not installed", got="mlopt tune", fix=install_command("tune"))
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
