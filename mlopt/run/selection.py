"""What to ship of all that the chain leaves to choose from, by successive halving: little work for most, much for few.

1. A look at each, for a second or two: what cannot be run, or is plainly wrong, is out.
2. From the quickest on, each is held against the gates on quality, in its own runtime and on all samples, until a few
   keep them and the others took longer by more than a look can be wrong.
3. If more are left than the release can measure beside the one that is chosen, they race, interleaved, beside the
   baseline; what is measurably slower than the quickest drops out, and the others go on for three times as long.
4. What is not told apart by then is measured with the evidence of the release.

Of those about as fast the most faithful is chosen, then what the whole chain came to. For ``objective: size`` the order
is by size, and nothing races.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from mlopt.core.errors import MeasureError, MloptError
from mlopt.core.target import Objective
from mlopt.data.dataset import part
from mlopt.measure import compare, statistics
from mlopt.measure.candidate import Candidate, Measured
from mlopt.measure.evaluate import Evaluator
from mlopt.measure.first_look import Looks
from mlopt.measure.parity import fidelity
from mlopt.measure.schedule import Schedule
from mlopt.results.figures import Accuracy, Fidelity
from mlopt.results.report import Tried
from mlopt.results.roles import BASELINE
from mlopt.results.timing import Speed
from mlopt.run import probe
from mlopt.run.forms import Entrant, Selected
from mlopt.run.quality import QualityGates
from mlopt.runtimes.base import Deployable
from mlopt.runtimes.table import exactly

Notify = Callable[[str, float], None]
_FEW = 16
"""Samples of a look."""
_IN_DOUBT = 1.25
"""How far from the truth the time of a look may be, as a factor between two of them."""
_ENOUGH, _FAR = 3, 1.5
"""At least so many race, since a busy machine can make a look err by more; but none that seemed so much slower."""
_RACED, _FINALISTS = 4, 2
_ROUNDS, _SECONDS, _LOOKS, _LEAST = 7, 0.4, 2, 14
_TIE = 0.98


@dataclass
class _Row:
    """What is known of one entrant."""

    entrant: Entrant
    ms: float | None = None
    fidelity: Fidelity | None = None
    """On the few samples of a look, or on all if it was judged."""
    accuracy: Accuracy | None = None
    why_not: str | None = None
    judged: bool = False
    speed: Speed | None = None
    """Against the baseline, in a race."""

    @property
    def valid(self) -> bool:
        return self.judged and self.why_not is None

    @property
    def standing(self) -> bool | None:
        """Whether it keeps the gates on quality, as far as that was looked into."""
        return None if self.why_not is None and not self.judged else self.valid


@dataclass
class Selection:
    """One search among ``entrants``; ``baseline`` is what their speeds are told against."""

    entrants: Sequence[Entrant]
    baseline: Deployable
    evaluator: Evaluator
    quality: QualityGates
    dead: Mapping[str, str]
    """Runtimes in which nothing is to be tried any more, and why."""
    max_time: float
    notify: Notify
    spent: dict[str, float] = field(default_factory=dict)

    def run(self) -> Selected:
        """Search; what cannot be run is told, never raised. Raises ``MeasureError`` if the baseline was lost."""
        rows = [_Row(each) for each in self.entrants]
        with self._spending("looking"):
            self._look_at(rows)
        seen = [row for row in rows if row.why_not is None]
        by_size = self.quality.recipe.objective is Objective.SIZE
        order = sorted(seen, key=lambda row: (row.entrant.deployable.model.size_bytes if by_size else 0, row.ms or 0.0))
        by_ms = sorted(seen, key=lambda row: row.ms or 0.0)
        while True:
            with self._spending("judging"):
                self._judge([row for row in order if row.entrant.shippable], enough=0 if by_size else _ENOUGH)
                self._judge([row for row in by_ms if row.entrant.form.unchanged], enough=1)
            able = [row for row in order if row.valid and row.entrant.shippable]
            bound = _FAR * min((row.ms or 0.0 for row in able), default=0.0)
            with self._spending("racing"):
                self._race([row for row in able if (row.ms or 0.0) <= bound][: 0 if by_size else _RACED])
            able = [row for row in able if row.valid]
            if able or not any(row.standing is None for row in order if row.entrant.shippable):
                break  # else none came through the race, and there are others
        best = self._best(able[:1] if by_size else able)
        rivals = () if by_size or best is None else self._beside(best, able)
        unchanged = [row for row in order if row.valid and row.entrant.form.unchanged]
        fastest = min(unchanged, key=lambda row: row.ms or 0.0, default=None)
        tried = tuple(self._told(row, best, rivals) for row in rows)
        return Selected(
            best.entrant if best else None, tuple(row.entrant for row in rivals), fastest.entrant if fastest else None,
            tried, {name: round(seconds, 1) for name, seconds in self.spent.items()},
        )  # fmt: skip

    def _look_at(self, rows: Sequence[_Row]) -> None:
        """Open each for a moment, on a few samples."""
        data, scratch = self.evaluator.dataset, self.evaluator.logs
        some = np.unique(np.linspace(0, data.count - 1, min(_FEW, data.count)).astype(np.intp))
        few = part(data, some, scratch / "few")
        reference = {name: np.asarray(array[some]) for name, array in self.evaluator.reference.items()}
        dead, wrong, patience = dict(self.dead), self.quality.plainly_wrong, probe.patience(self.evaluator, few.count)
        answers: Mapping[str, str] | None = None
        with Looks(few, scratch / "look.log") as looks:
            for number, row in enumerate(rows):
                deployable, started = row.entrant.deployable, time.monotonic()
                self.notify(f"a look at {row.entrant.told}", number / len(rows))
                if deployable.runtime in dead:
                    row.why_not = dead[deployable.runtime]
                    continue
                try:
                    seen = looks.at(self._candidate(row.entrant.name, deployable), patience=patience)
                    row.ms, row.fidelity = seen.ms, fidelity(reference, seen.outputs)
                except MloptError as error:
                    row.why_not = error.brief
                    if time.monotonic() - started > patience:
                        dead[deployable.runtime] = f"not tried: {row.entrant.told}, hung"
                    continue
                if answers is None and deployable.runtime == self.quality.first:
                    answers = seen.answers
                if answers is not None and seen.answers != answers:
                    row.why_not = _unlike(seen.answers, answers)
                elif row.fidelity.cosine < wrong:
                    row.why_not = f"plainly wrong: cosine {row.fidelity.cosine:.4f} on {few.count} samples"

    def _candidate(self, name: str, deployable: Deployable) -> Candidate:
        target = self.quality.recipe.target
        return Candidate(name, deployable, target.batch_size, target.clients)

    def _judge(self, order: Sequence[_Row], *, enough: int) -> None:
        """Hold them against the gates, from the first on, until so many keep them and no other seems about as fast.

        None that took far longer than the first is asked. Of those that are ordered by size (0), the
        first that keeps the gates ends it.
        """
        quickest: float | None = None
        kept = 0
        for number, row in enumerate(order):
            ms = row.ms or 0.0
            if quickest is not None and (ms > _FAR * quickest or (kept >= enough and ms > _IN_DOUBT * quickest)):
                break
            if not row.judged:
                self.notify(f"judging {row.entrant.told}", number / len(order))
                found = self.quality.of(row.entrant.deployable)
                row.judged, row.accuracy = True, found.accuracy
                row.why_not = found.objection or self.quality.too_large(row.entrant.deployable, self.baseline)
                row.fidelity = found.fidelity or row.fidelity
            if row.valid:
                if not enough:
                    break
                kept, quickest = kept + 1, ms if quickest is None else quickest

    def _race(self, rows: Sequence[_Row]) -> None:
        """Measure them against each other, if they are more than the comparison of the release can take.

        Who is measurably slower than the quickest stops after the first look; the others go on if they are still more.
        """
        if len(rows) <= 1 + _FINALISTS:
            return
        named = {row.entrant.name: row for row in rows}
        entrants = [self._candidate(name, row.entrant.deployable) for name, row in named.items()]
        alpha = statistics.ALPHA / _LOOKS

        def undecided(measured: Mapping[str, Measured]) -> Collection[str]:
            blocks = {name: each.blocks for name, each in measured.items() if name in named}
            left = in_contention(blocks, alpha)
            return left if len(left) > 1 + _FINALISTS else ()

        seconds = min(_SECONDS, self.quality.recipe.measure.seconds)
        schedule = Schedule(seconds, _ROUNDS, self.max_time, looks=_LOOKS, least=_LEAST)
        run = compare.compare(
            [self._candidate(BASELINE, self.baseline), *entrants], self.evaluator.dataset, schedule,
            copies=(BASELINE, BASELINE), undecided=undecided,
            notify=lambda text, share: self.notify(f"race, {text}", share), cold=False,
        )  # fmt: skip
        if BASELINE not in run.measured:
            raise MeasureError("the baseline could not be measured", got=run.lost.get(BASELINE))
        base = run.measured[BASELINE].blocks
        for name, row in named.items():
            if name in run.measured:
                row.speed = Speed(*statistics.speedup(base, run.measured[name].blocks, alpha))
                row.ms = float(np.median(np.concatenate(run.measured[name].blocks)))
            else:
                row.why_not = f"lost in the race: {run.lost.get(name)}"

    def _best(self, able: Sequence[_Row]) -> _Row | None:
        """Return the fastest; of those about as fast, an exact one (any CPU can be that), then the most faithful."""
        raced = [row for row in able if row.valid and row.speed is not None] or [row for row in able if row.valid]
        most = max(map(_speed_of, raced), default=0.0)
        near = [row for row in raced if _speed_of(row) >= _TIE * most]
        return max(
            near, key=lambda row: (_is_exact(row), _faithful(row), row.entrant.form.last, _speed_of(row)), default=None
        )

    def _beside(self, best: _Row, able: Sequence[_Row]) -> list[_Row]:
        """Return those that may be as fast as the chosen one, as far as the race, or the look, can tell."""
        others = [row for row in able if row is not best and row.valid]
        close = [row for row in others if _may_be_as_fast(row, best)]
        return sorted(close, key=_speed_of, reverse=True)[:_FINALISTS]

    def _told(self, row: _Row, best: _Row | None, rivals: Collection[_Row]) -> Tried:
        one, speed = row.entrant.deployable, row.speed
        why = row.why_not
        if why is None and row is not best:
            why = self._why_left(row, best, close=any(row is each for each in rivals))
        return Tried(
            model=row.entrant.form.name, digest=one.model.digest, runtime=one.runtime,
            options=one.options.model_dump(mode="json"), size_bytes=one.model.size_bytes, latency_ms=row.ms,
            speedup=speed.median if speed else None, ci95=(speed.low, speed.high) if speed else None,
            fidelity=row.fidelity, accuracy=row.accuracy, valid=row.standing,
            unchanged=row.entrant.form.unchanged, why_not=why,
        )  # fmt: skip

    def _why_left(self, row: _Row, best: _Row | None, *, close: bool) -> str:
        if not row.entrant.shippable:
            return "a required step has still to come: it is here to compare with"
        if close and row.speed is None:
            return "no look tells it from the one that is shipped, beside which it was measured"
        if row.speed is None or best is None or best.speed is None:
            return "slower at first sight" if self.quality.recipe.objective is not Objective.SIZE else "larger"
        if row.speed.high < best.speed.low:
            return f"slower: {row.speed} the baseline's speed, against {best.speed}"
        return f"no race tells it from the one that is shipped: {row.speed} the baseline's speed, against {best.speed}"

    @contextmanager
    def _spending(self, what: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self.spent[what] = self.spent.get(what, 0.0) + time.monotonic() - started


def in_contention(blocks: Mapping[str, statistics.Blocks], alpha: float) -> list[str]:
    """Return those that are not measurably slower than the quickest of a run, by their raw blocks."""
    if not blocks:
        return []
    quickest = min(blocks, key=lambda name: float(np.median(np.concatenate(blocks[name]))))
    return [name for name in blocks if name == quickest or
            statistics.speedup(blocks[quickest], blocks[name], alpha)[2] >= 1]  # fmt: skip


def _unlike(answers: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    """Say which outputs are of another type or rank: what the samples come to, joined, may be the same."""
    other = (name for name in wanted if answers.get(name) != wanted[name])
    return "it answers otherwise: " + ", ".join(f"{name} is {answers.get(name)}, not {wanted[name]}" for name in other)


def _may_be_as_fast(row: _Row, best: _Row) -> bool:
    if best.speed is None:
        return (row.ms or 0.0) <= _FAR * (best.ms or 0.0)
    return row.speed is not None and row.speed.high >= best.speed.low


def _is_exact(row: _Row) -> bool:
    """Whether it computes in the model's own precision."""
    return exactly(row.entrant.deployable) == row.entrant.deployable


def _faithful(row: _Row) -> float:
    """Return the cosine, as far as it counts."""
    return round(row.fidelity.cosine if row.fidelity else 1.0, 4)


def _speed_of(row: _Row) -> float:
    """Return what orders rows by speed: the median of a race, else the time of a look turned over."""
    return row.speed.median if row.speed is not None else 1e-9 / (row.ms or 1.0)
