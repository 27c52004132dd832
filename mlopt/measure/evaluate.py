"""Outputs and scores of models on the evaluation samples: computed in a process of their own, once per deployable.

Outputs are deterministic for a model, its runtime and options, the batch size and the samples, so they are cached;
scores are computed from them in no time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mlopt.core.cache import Store
from mlopt.core.cache_entry import Entry, Key
from mlopt.core.errors import DataError, MeasureError, ModelError
from mlopt.core.hardware import Hardware
from mlopt.core.packages import versions
from mlopt.core.worker import WorkerDiedError, WorkerRaisedError, run_in_worker_for
from mlopt.data.dataset import Dataset
from mlopt.formats.model import TORCH
from mlopt.measure.accuracy import Metric, Named, Scores, drop, score, summary
from mlopt.measure.candidate import Candidate
from mlopt.measure.differing import differing, few
from mlopt.measure.lossless import change, not_finite
from mlopt.measure.outputs import read_outputs, write_outputs
from mlopt.measure.pairing import paired
from mlopt.measure.parity import fidelity
from mlopt.results.figures import Accuracy, AccuracyDrop, Disagreement, Fidelity
from mlopt.runtimes.base import Array, Deployable, RuntimeOptions
from mlopt.runtimes.table import elsewhere, other_runtime, runtime_named

_VERSION = 2
"""Of what a runtime is told, and of what is kept: another one is computed anew."""
_LEAST_PATIENCE, _PATIENCE = 60.0, 50.0


@dataclass(frozen=True)
class Evaluator:
    """Judges models, as they are deployed, against the source model, on the same samples."""

    store: Store
    dataset: Dataset
    metric: str | Metric
    source: Deployable
    source_name: str
    batch_size: int
    hardware: Hardware
    logs: Path
    name: str
    output: Named = None
    """The output that a built-in metric looks at; the first if None."""
    _known: dict[tuple[str, str, RuntimeOptions], Scores] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def outputs(self, judged: Deployable) -> dict[str, Array]:
        """Return the model's outputs on all samples, by name, each [samples, ...] or ragged.

        The source is run twice: ``ModelError`` says what in it is random, or keeps state between calls.
        """
        entry = self._ran(judged)
        return read_outputs(entry.out, entry.result["names"])

    def _ran(self, judged: Deployable) -> Entry:
        runtime, model = runtime_named(judged.runtime), judged.model
        parts: dict[str, Any] = {
            "version": _VERSION,
            "model": model.digest,
            "data": self.dataset.digest,
            "batch_size": self.batch_size,
            "runtime": {"name": runtime.name, **versions(runtime.packages)},
            "options": judged.options.model_dump(mode="json", exclude={"threads"}),
            "isa": list(self.hardware.isa),
        }
        of_source = judged.identity == self.source.identity
        if of_source:
            parts["repeated"] = 1

        def make(out: Path) -> Mapping[str, Any]:
            candidate = Candidate("evaluation", judged)
            log = self.logs / f"evaluate-{model.digest[:12]}.log"
            limit, started = math.inf if of_source else self._patience, time.monotonic()
            try:
                written = run_in_worker_for(
                    limit, log, write_outputs, candidate, self.dataset, self.batch_size, out=out, twice=of_source
                )
            except (WorkerDiedError, WorkerRaisedError) as error:
                raise MeasureError("the model cannot be evaluated", where=str(model.path), got=str(error)) from error
            return {**written, "seconds": time.monotonic() - started}

        entry, _ = self.store.fetch(Key("outputs", f"{self.name}: outputs in {judged.where}", parts), make)
        return entry

    @cached_property
    def source_seconds(self) -> float:
        """What the source model took for all samples, and to say whether it repeats itself."""
        return float(self._ran(self.source).result.get("seconds", _LEAST_PATIENCE))

    @property
    def _patience(self) -> float:
        """Seconds after which a model that still runs counts as hanging: many times what the source took."""
        return _LEAST_PATIENCE + _PATIENCE * self.source_seconds

    @cached_property
    def reference(self) -> dict[str, Array]:
        """The source model's outputs."""
        return self.outputs(self.source)

    def changed(self, before: Deployable, after: Deployable) -> str | None:
        """Return in words what a step that should change nothing did to any sample's outputs; None if it did not.

        What its runtime refuses is compared in another one, with what the step made of it there.
        """
        try:
            expected = self.outputs(before)
        except (MeasureError, ModelError):
            other = next(elsewhere(before), None)
            if other is None:
                raise
            before, after = other_runtime(before, other), other_runtime(after, other)
            expected = self.outputs(before)
        try:
            found = change(expected, self.outputs(after), self.reference)
        except (DataError, MeasureError, ModelError) as error:
            return error.brief
        if found is None:
            return None
        own = not_finite(self.reference)
        if found.sample in own:
            return f"{found}; the source itself gives NaN or infinity there"
        return str(found)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What to know of the source's outputs: where they are not finite, and how those of free size are compared."""
        bad, how = not_finite(self.reference), paired(self.reference, self.reference).how
        said = [f"outputs {way}" for way in how]
        if bad:
            first = min(bad)
            said.append(
                f"the source model itself gives NaN or infinity on {len(bad)} of {self.dataset.count} evaluation "
                f"samples, first on sample {first} (output '{bad[first]}')"
            )
        return tuple(said)

    def scores(self, judged: Deployable) -> Scores:
        """Return the metric's score of each sample; computed once for each, since resampling takes seconds."""
        if judged.identity not in self._known:
            outputs, labels = self.outputs(judged), self.dataset.labels
            self._known[judged.identity] = score(self.metric, outputs, labels, self.reference, output=self.output)
        return self._known[judged.identity]

    def accuracy(self, judged: Deployable) -> Accuracy:
        """Return the metric with its interval."""
        return summary(self.scores(judged))

    def drop(self, judged: Deployable) -> AccuracyDrop:
        """Return what the metric lost against the source model."""
        return drop(self.scores(self.source), self.scores(judged), self.source_name)

    def differing(self, judged: Deployable, limit: int = 20) -> tuple[Disagreement, ...]:
        """Return samples on which the model's score differs from the source model's, at most ``limit``."""
        scores = (self.scores(self.source), self.scores(judged))
        outputs = (self.reference, self.outputs(judged))
        return few(differing(self.metric, scores, outputs, self.dataset.labels, self.output), limit)

    def fidelity(self, judged: Deployable) -> Fidelity | None:
        """Return how close the outputs are to the source model's; None for a source that is no baseline itself."""
        if judged.model.kind == TORCH and judged.identity == self.source.identity:
            return None
        return fidelity(self.reference, self.outputs(judged))
