"""The measurements that the search for a quantized model asks for: where time goes, and which version is faster."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlopt.data.dataset import Dataset
from mlopt.errors import MeasureError
from mlopt.measure import latency, operators, statistics
from mlopt.measure.candidate import Candidate
from mlopt.measure.latency import Measured
from mlopt.measure.schedule import Schedule
from mlopt.model import Model
from mlopt.onnx_file import open_onnx
from mlopt.runtimes.base import NodeTime
from mlopt.runtimes.onnxruntime import deployed
from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions

_PROFILE_SECONDS = 1.0
_RACE_SECONDS, _RACE_AT_LEAST = 2.0, 0.2
_ROUNDS, _LOOKS, _LEAST = 10, 2, 20
_FP32, _CONTROL = "fp32", "control"
_PROMISING = 1.03


@dataclass(frozen=True)
class Speed:
    """How many times faster than FP32 a version is, with its interval."""

    median: float
    low: float
    high: float

    @property
    def faster(self) -> bool:
        """Whether it is measurably faster."""
        return self.low > 1.0

    def __str__(self) -> str:
        return f"{self.median:.2f}x ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True)
class Gauge:
    """Measures versions of one model on real samples, each in processes of its own."""

    model: Model
    samples: Dataset
    options: OnnxRuntimeOptions
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
        field = {_FP32: self.model.path, _CONTROL: self.model.path, **versions}
        candidates = [self._candidate(name, path) for name, path in field.items()]
        seconds = min(_RACE_SECONDS, max(_RACE_AT_LEAST, max_time / len(field)))
        schedule = Schedule(seconds, _ROUNDS, max_time, looks=_LOOKS, least=_LEAST)

        def undecided(measured: Mapping[str, Measured]) -> Collection[str]:
            close = [n for n, speed in _speeds(measured).items() if speed.median > _PROMISING and not speed.faster]
            return {_FP32, _CONTROL, *close} if close else ()

        run = latency.measure(
            candidates, self.samples, schedule, notify=lambda _text, _share: None, undecided=undecided
        )
        if _FP32 not in run.measured:
            raise MeasureError("the FP32 model could not be measured", got=run.lost.get(_FP32))
        return _speeds(run.measured)

    def _candidate(self, name: str, path: Path) -> Candidate:
        return Candidate(name, deployed(open_onnx(path), self.options), self.batch_size)


def _speeds(measured: Mapping[str, Measured]) -> dict[str, Speed]:
    """Return each version's speed against the faster of the two FP32 copies, which only chance tells apart."""
    copies = [measured[name].blocks for name in (_FP32, _CONTROL) if name in measured]
    found = {}
    for name in measured:
        if name not in (_FP32, _CONTROL):
            against = [Speed(*statistics.speedup(copy, measured[name].blocks, 0.05 / _LOOKS)) for copy in copies]
            found[name] = min(against, key=lambda speed: speed.median)
    return found
