"""The measurements that searches ask for: where time goes, and which versions of a model, or options, are faster."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mlopt.core.errors import MeasureError
from mlopt.core.voice import tell
from mlopt.data.dataset import Dataset
from mlopt.formats.onnx.file import open_onnx
from mlopt.measure import compare, operators, statistics
from mlopt.measure.candidate import Candidate, Measured
from mlopt.measure.schedule import Schedule
from mlopt.results.timing import NodeTime, Race, Speed
from mlopt.runtimes.base import Deployable, RuntimeOptions

_PROFILE_SECONDS = 1.0
_RACE_SECONDS, _RACE_AT_LEAST = 2.0, 0.2
_ROUNDS, _LOOKS, _LEAST = 10, 2, 20
_FP32, _CONTROL = _COPIES = "fp32", "control"
_AS_IS, _AGAIN = _SAME = "as it is", "as it is (again)"
_PROMISING = 1.03


@dataclass(frozen=True)
class Benchmarker:
    """Measures versions of one model, or one model in several ways, on real samples, each in processes of its own."""

    deployable: Deployable
    samples: Dataset
    batch_size: int
    logs: Path

    def profile(self, path: Path, max_time: float = math.inf) -> list[NodeTime]:
        """Time the nodes of one version; raises ``MeasureError`` if that takes longer than ``max_time`` seconds."""
        candidate = self._candidate("profile", path)
        return operators.profile(candidate, self.samples, _PROFILE_SECONDS, self.logs / "log", max_time)

    def race(self, versions: Mapping[str, Path], max_time: float) -> dict[str, Speed]:
        """Compare versions with the FP32 model in one interleaved run; a version that died is left out.

        ``max_time`` (seconds) is for all of them. A gain that the noise of the machine may have made is looked at once
        more, if it allows.
        Raises ``MeasureError`` if the FP32 model itself cannot be measured.
        """
        field = {_FP32: self.deployable.model.path, _CONTROL: self.deployable.model.path, **versions}
        candidates = [self._candidate(name, path) for name, path in field.items()]
        seconds = min(_RACE_SECONDS, max(_RACE_AT_LEAST, max_time / len(field)))
        schedule = Schedule(seconds, _ROUNDS, max_time, looks=_LOOKS, least=_LEAST)

        def undecided(measured: Mapping[str, Measured]) -> Collection[str]:
            return [n for n, speed in _speeds(measured).items() if speed.median > _PROMISING and not speed.faster]

        run = compare.compare(
            candidates, self.samples, schedule, copies=_COPIES, undecided=undecided, notify=tell, cold=False
        )
        if _FP32 not in run.measured:
            raise MeasureError("the FP32 model could not be measured", got=run.lost.get(_FP32))
        return _speeds(run.measured)

    def race_options(
        self, options: Mapping[str, RuntimeOptions], *, seconds: float, max_time: float = 0.0, clients: int = 1
    ) -> Race:
        """Compare the model with itself opened with other options; see ``mlopt.results.timing.Measuring``.

        Raises ``MeasureError`` if the model as it is cannot be measured.
        """
        field = {**dict.fromkeys(_SAME, self.deployable.options), **options}
        candidates = [
            Candidate(name, replace(self.deployable, options=each), self.batch_size, clients)
            for name, each in field.items()
        ]
        looks = _LOOKS if max_time else 1
        alpha = statistics.ALPHA / (looks * len(options)) if max_time else statistics.ALPHA
        rounds = max(_ROUNDS, statistics.rounds_needed(alpha))
        schedule = Schedule(seconds, rounds, max_time, looks=looks, least=_LEAST)

        def undecided(measured: Mapping[str, Measured]) -> Collection[str]:
            race = _raced(measured, {}, alpha)
            return [n for n, speed in race.speeds.items() if speed.median > _PROMISING and not race.gains(n)]

        run = compare.compare(
            candidates, self.samples, schedule, copies=_SAME, needs=_SAME, undecided=undecided if max_time else None,
            notify=tell, cold=False,
        )  # fmt: skip
        if gone := [name for name in _SAME if name not in run.measured]:
            raise MeasureError("the model as it is could not be measured", got=run.lost.get(gone[0]))
        return _raced(run.measured, run.lost, alpha)

    def _candidate(self, name: str, path: Path) -> Candidate:
        return Candidate(name, replace(self.deployable, model=open_onnx(path)), self.batch_size)


def _speeds(
    measured: Mapping[str, Measured], alpha: float = statistics.ALPHA / _LOOKS, copies: tuple[str, str] = _COPIES
) -> dict[str, Speed]:
    """Return the speed of each but the two copies, against the faster of these, which only chance tells apart."""
    against_each = [_paces(measured[name]) for name in copies if name in measured]
    found = {}
    for name, each in measured.items():
        if name not in copies:
            against = [Speed(*statistics.speedup(copy, _paces(each), alpha)) for copy in against_each]
            found[name] = min(against, key=lambda speed: speed.median)
    return found


def _raced(measured: Mapping[str, Measured], lost: Mapping[str, str], alpha: float) -> Race:
    """Return what the two copies, and all that ran beside them, came to."""
    first, again = (_paces(measured[name]) for name in _SAME)
    absent = {name: cause for name, cause in lost.items() if name not in measured}
    return Race(_speeds(measured, alpha, _SAME), Speed(*statistics.speedup(first, again, alpha)), absent)


def _paces(measured: Measured) -> statistics.Blocks:
    """Return the samples by which it is judged: of several clients, which are after throughput, each block's mean."""
    if measured.candidate.concurrency == 1:
        return measured.blocks
    return [(sum(block) / len(block),) for block in measured.blocks]
