"""The measurements that the search for a quantized model asks for: where time goes, and which version is faster."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mlopt.core.errors import MeasureError
from mlopt.data.dataset import Dataset
from mlopt.formats.onnx.file import open_onnx
from mlopt.measure import compare, operators, statistics
from mlopt.measure.candidate import Candidate, Measured
from mlopt.measure.schedule import Schedule
from mlopt.results.timing import NodeTime, Speed
from mlopt.runtimes.base import Deployable

_PROFILE_SECONDS = 1.0
_RACE_SECONDS, _RACE_AT_LEAST = 2.0, 0.2
_ROUNDS, _LOOKS, _LEAST = 10, 2, 20
_FP32, _CONTROL = _COPIES = "fp32", "control"
_PROMISING = 1.03


@dataclass(frozen=True)
class Benchmarker:
    """Measures versions of one model on real samples, each in processes of its own."""

    deployable: Deployable
    samples: Dataset
    batch_size: int
    logs: Path

    def profile(self, path: Path) -> list[NodeTime]:
        """Time the nodes of one version."""
        return operators.profile(self._candidate("profile", path), self.samples, _PROFILE_SECONDS, self.logs / "log")

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
            candidates, self.samples, schedule, copies=_COPIES, undecided=undecided, notify=lambda _text, _share: None
        )
        if _FP32 not in run.measured:
            raise MeasureError("the FP32 model could not be measured", got=run.lost.get(_FP32))
        return _speeds(run.measured)

    def _candidate(self, name: str, path: Path) -> Candidate:
        return Candidate(name, replace(self.deployable, model=open_onnx(path)), self.batch_size)


def _speeds(measured: Mapping[str, Measured]) -> dict[str, Speed]:
    """Return each version's speed against the faster of the two FP32 copies, which only chance tells apart."""
    copies, alpha = [measured[name].blocks for name in _COPIES if name in measured], statistics.ALPHA / _LOOKS
    found = {}
    for name in measured:
        if name not in _COPIES:
            against = [Speed(*statistics.speedup(copy, measured[name].blocks, alpha)) for copy in copies]
            found[name] = min(against, key=lambda speed: speed.median)
    return found
