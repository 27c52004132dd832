"""A recipe made ready, in which points of its space are built, looked at, judged and raced; one for each process.

Every method takes points and returns what JSON can hold, so that it can be called from another machine: what it builds
lies in the cache, where each of them finds it. ``build`` and ``judge`` may be done anywhere and beside each other;
``look`` and ``race`` measure time.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from pydantic import JsonValue

from mlopt.core.errors import MeasureError, MloptError, PassError
from mlopt.data.choice import some
from mlopt.data.dataset import Dataset, part
from mlopt.formats.model import ONNX, TORCH
from mlopt.measure import compare, statistics, work
from mlopt.measure.candidate import Candidate, Measured, Run
from mlopt.measure.first_look import Looks
from mlopt.measure.parity import fidelity
from mlopt.measure.schedule import Schedule
from mlopt.results.roles import BASELINE, CONTROL
from mlopt.run import chain, loop, probe, ways
from mlopt.run.stages import Prepared
from mlopt.run.step import Job, begin, exported
from mlopt.runtimes.base import Deployable
from mlopt.runtimes.table import other_runtime, runtime_named
from mlopt.tune.space import RUNTIME, Point, Space, key_of, space_of

Found = dict[str, Any]
FEW, CALIBRATED = 16, 64
"""Samples of a look, and those that a model is calibrated on for it."""
_ROUNDS, _SECONDS, _LOOKS, _LEAST = 7, 0.4, 2, 14
_OWN, _OWN_ROUNDS, _OWN_SECONDS, _OWN_LEAST = "own", 10, 1.0, 20


class RecipeLaboratory:
    """A recipe that is ``prepared``; ``only`` is as of ``space_of``. Closing it closes ``folders``, too."""

    def __init__(self, prepared: Prepared, only: Sequence[str] = (), folders: ExitStack | None = None) -> None:
        self.prepared, self.started = prepared, prepared.planned.started
        self._only, self._folders = tuple(only), folders or ExitStack()
        self._built: dict[str, Deployable] = {}

    def __enter__(self) -> RecipeLaboratory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take its folders away."""
        self._folders.close()

    @property
    def node(self) -> str:
        """This machine's name."""
        return platform.node()

    @cached_property
    def runtimes(self) -> tuple[str, ...]:
        """Those that the chain is run for."""
        planned = self.prepared.planned
        return chain.ways(self.prepared.source.kind, planned.loaded.recipe, planned.passes)

    @cached_property
    def baseline(self) -> Deployable:
        """The source as it is only exported."""
        source, job = begin(self.prepared.source, self.prepared.job), self.prepared.job
        steps = [step for step in self.prepared.planned.loaded.recipe.passes if step.name == "export"]
        outcomes = tuple(loop.run(source, steps[:1], job, None, _untold)) if source.model.kind == TORCH else ()
        return Deployable((made := exported(source, outcomes, job)).model, made.runtime, made.options)

    @cached_property
    def macs(self) -> int | None:
        """The multiplications of one inference of the baseline; None where they cannot be counted."""
        batch_size = self.prepared.planned.loaded.recipe.target.batch_size
        return work.macs(self.baseline.model, self.prepared.evaluator.dataset, batch_size)

    @cached_property
    def space(self) -> Space:
        """What may be searched."""
        planned = self.prepared.planned
        sessions = {name: dict(self._changes(name)) for name in self.runtimes}
        return space_of(
            planned.loaded.recipe, planned.passes, planned.hardware, self.prepared.source.kind, sessions, self._only
        )  # fmt: skip

    def build(self, point: Point, cheap: bool = False) -> Found:
        """Run the chain of a point; ``cheap`` calibrates on a part of the samples.

        Returns ``digest``, ``runtime``, ``size_bytes``, and of a cheap one ``whole``: whether nothing was spared.
        Raises ``MloptError`` if a step does not do what the point is about.
        """
        one, whole = self._deployable(point, cheap=cheap), not (cheap and self._spares(point))
        return {"digest": one.model.digest, "runtime": one.runtime, "size_bytes": one.model.size_bytes, "whole": whole}

    def look(self, point: Point, cheap: bool = False) -> list[Found]:
        """Open what a point came to, in each of the ways that may be taken, on a few samples.

        Returns ``options``, ``ms``, ``cosine`` and ``why_not`` of each.
        """
        one, evaluator = self._deployable(point, cheap=cheap), self.prepared.evaluator
        few, rows = self._few
        reference = {name: np.asarray(array[rows]) for name, array in evaluator.reference.items()}
        patience, found = probe.patience(evaluator, few.count), []
        with Looks(few, evaluator.logs / "look.log") as looks:
            for way in self.prepared.quality.choices(one):
                row: Found = {"options": way.options.model_dump(mode="json"), "ms": None, "cosine": None}
                try:
                    seen = looks.at(self._candidate(way.where, way), patience=patience)
                    close = fidelity(reference, seen.outputs).cosine
                    row |= {"ms": seen.ms, "cosine": close, "why_not": self._plainly_wrong(close)}
                except MloptError as error:
                    row["why_not"] = error.brief
                found.append(row)
        return found

    def judge(self, point: Point, options: Mapping[str, JsonValue]) -> Found:
        """Hold what a point came to against the gates on quality and size, on all evaluation samples."""
        return self._judged(self._opened(point, options))

    def measured(self, one: Deployable) -> Found:
        """Judge a deployable and race it beside the baseline; raises ``MeasureError`` if it cannot be measured."""
        schedule = Schedule(_OWN_SECONDS, _OWN_ROUNDS, self._max_time, looks=1, least=_OWN_LEAST)
        figures = self.figures(self.raced({_OWN: one}, schedule))[_OWN]
        if "lost" in figures:
            raise MeasureError("what the recipe came to could not be measured", got=figures["lost"])
        return {**self._judged(one), **figures}

    def race(self, field: Sequence[tuple[str, Point, Mapping[str, JsonValue]]]) -> Found:
        """Measure points, each by a name, in one interleaved run with the baseline, each in a process of its own.

        Returns for each that came through ``latency_ms`` (median), ``speedup``, ``ci95`` and ``peak_rss_bytes``, and
        for each that did not ``lost``. Raises ``MeasureError`` if the baseline was lost.
        """
        named = {name: self._opened(point, options) for name, point, options in field}
        return self.figures(self.raced(named, Schedule(_SECONDS, _ROUNDS, self._max_time, looks=_LOOKS, least=_LEAST)))

    def raced(self, named: Mapping[str, Deployable], schedule: Schedule) -> Run:
        """Measure deployables beside the baseline, and a second copy of that."""
        pairs = {BASELINE: self.baseline, CONTROL: self.baseline, **named}
        run = compare.compare(
            [self._candidate(name, each) for name, each in pairs.items()], self.prepared.evaluator.dataset, schedule,
            copies=(BASELINE, CONTROL), undecided=None, notify=self._say_racing, cold=False,
        )  # fmt: skip
        if BASELINE not in run.measured:
            raise MeasureError("the baseline could not be measured", got=run.lost.get(BASELINE))
        return run

    def figures(self, run: Run) -> Found:
        """Return what a race says of each but the baseline, as ``race`` does."""
        alpha, base = statistics.ALPHA / run.looks_planned, run.measured[BASELINE]
        lost = {name: {"lost": cause} for name, cause in run.lost.items() if name not in run.measured}
        return lost | {
            name: _figures(base, each, alpha) for name, each in run.measured.items() if name not in (BASELINE, CONTROL)
        }

    def deployable(self, point: Point, options: Mapping[str, JsonValue]) -> Deployable:
        """Return what a point came to, opened so."""
        return self._opened(point, options)

    def _changes(self, runtime: str) -> Iterator[tuple[str, dict[str, JsonValue]]]:
        """Yield the options that are worth a try there, by what the change is called."""
        tunings = runtime_named(runtime).tunings
        if tunings is None or self.baseline.model.kind != ONNX:
            return
        base = other_runtime(self.baseline, runtime).options
        for name, each in tunings(self.baseline.model, base, self.prepared.planned.loaded.recipe.objective).items():
            changed = each.model_dump(mode="json")
            yield name, {key: changed[key] for key, value in each if value != getattr(base, key) and key in changed}

    def _judged(self, one: Deployable) -> Found:
        judged = self.prepared.quality.of(one)
        objection = judged.objection or self.prepared.quality.too_large(one, self.baseline)
        return {
            "why_not": objection,
            "accuracy": judged.accuracy.model_dump(mode="json") if judged.accuracy else None,
            "fidelity": judged.fidelity.model_dump(mode="json", exclude={"outputs"}) if judged.fidelity else None,
        }

    @property
    def _max_time(self) -> float:
        return self.prepared.planned.loaded.recipe.measure.max_time

    @cached_property
    def _few(self) -> tuple[Dataset, Any]:
        data = self.prepared.evaluator.dataset
        rows = np.unique(np.linspace(0, data.count - 1, min(FEW, data.count)).astype(np.intp))
        return part(data, rows, self.prepared.evaluator.logs / "few"), rows

    @cached_property
    def _spared(self) -> Job:
        """The job of a cheap build."""
        job, data = self.prepared.job, self.prepared.job.calibration
        if data is None or data.count <= CALIBRATED:
            return job
        fewer = part(data, some(data, CALIBRATED), self.prepared.evaluator.logs / "calibration")
        return replace(job, calibration=fewer, calibration_digest=fewer.digest)

    def _job(self, runtime: str, *, cheap: bool) -> Job:
        """Return the job of the chain in one runtime, as a whole run has it."""
        job, quality = self._spared if cheap else self.prepared.job, self.prepared.quality
        many = len(self.runtimes) > 1
        job = ways.setting_of(job, runtime, self.runtimes) if many else job
        return replace(job, prefer=quality.preferred, repro=quality.evaluator.logs / "repro")

    def _spares(self, point: Point) -> bool:
        """Whether a cheap build of a point has fewer samples to calibrate on."""
        steps = self.space.recipe_of(point).passes
        calibrates = any(self.prepared.planned.passes[step.name].lossy for step in steps)
        return calibrates and self._spared is not self.prepared.job

    def _deployable(self, point: Point, *, cheap: bool) -> Deployable:
        cheap = cheap and self._spares(point)
        key = f"{cheap} {key_of(point)}"
        if key not in self._built:
            self._built[key] = self._run(point, cheap=cheap)
        return self._built[key]

    def _run(self, point: Point, *, cheap: bool) -> Deployable:
        recipe, runtime = self.space.recipe_of(point), str(point[RUNTIME])
        job = self._job(runtime, cheap=cheap)
        began = begin(self.prepared.source, job)
        steps = [step.model_copy(update={"optional": True}) for step in recipe.passes]
        outcomes = tuple(loop.run(began, steps, job, None, _untold))
        undone = next((each for each in outcomes if each.kept is None), None)
        if undone is not None:
            raise PassError(f"'{undone.step.name}' was {undone.status}", got=undone.reason)
        return other_runtime(loop.final(began, outcomes, job.target), runtime)

    def _opened(self, point: Point, options: Mapping[str, JsonValue]) -> Deployable:
        one = self._deployable(point, cheap=False)
        return replace(one, options=type(one.options).model_validate(dict(options)))

    def _candidate(self, name: str, one: Deployable) -> Candidate:
        target = self.prepared.planned.loaded.recipe.target
        return Candidate(name, one, target.batch_size, target.clients)

    def _plainly_wrong(self, cosine: float) -> str | None:
        if cosine >= self.prepared.quality.plainly_wrong:
            return None
        return f"plainly wrong: cosine {cosine:.4f} on {self._few[0].count} samples"

    def _say_racing(self, text: str, share: float | None) -> None:
        self.started.notify("search", f"race, {text}", share)


def _figures(base: Measured, found: Measured, alpha: float) -> Found:
    middle, low, high = statistics.speedup(base.blocks, found.blocks, alpha)
    return {
        "latency_ms": statistics.latency(found.blocks, alpha).p50, "speedup": middle, "ci95": (low, high),
        "peak_rss_bytes": found.peak_rss_bytes,
    }  # fmt: skip


def _untold(_step: str) -> None:
    """The search tells of trials, not of their steps."""
