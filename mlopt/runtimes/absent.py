"""Which runtimes a target would try if they were installed: told where it matters, in a line each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mlopt.core.hardware import INSTRUCTIONS_OF, CpuKind, Hardware, detect_cpu
from mlopt.core.target import AUTO, Target
from mlopt.formats.model import ONNX
from mlopt.runtimes import measured, onnxruntime
from mlopt.runtimes.table import table


@dataclass(frozen=True)
class Absent:
    """A runtime that is not installed here, the command that brings it, and what is known of its speed."""

    runtime: str
    install: str
    reason: str

    def __str__(self) -> str:
        return f"{self.runtime} is not installed and {self.reason}: {self.install}"


def absent(target: Target, hardware: Hardware | None = None, known: measured.Gains | None = None) -> list[Absent]:
    """Return the runtimes for ONNX on the CPU that ``auto``, or a list that names them, would try if they were there.

    Left out is ONNX Runtime, without which nothing runs, and what is known to be no faster on such a CPU. ``hardware``
    is this machine if absent, ``known`` what mlopt comes with.
    """
    if target.device != "cpu" or (target.runtime != AUTO and isinstance(target.runtime, str)):
        return []
    kind = (hardware or detect_cpu()).cpu_kind
    gains = (measured.gains() if known is None else known).get(kind, {}) if kind is not None else {}
    return list(_absent(target, kind, gains))


def _absent(target: Target, kind: CpuKind | None, gains: dict[str, measured.RuntimeGain]) -> Iterator[Absent]:
    named = target.runtimes
    of_kind = f"on a CPU with {INSTRUCTIONS_OF[kind]}" if kind is not None else ""
    for runtime in table().values():
        wanted = runtime.name in named if named else runtime.name != onnxruntime.RUNTIME.name
        if not wanted or not runtime.missing or ONNX not in runtime.kinds or "cpu" not in runtime.devices:
            continue
        gain = gains.get(runtime.name)
        if gain is None:
            yield Absent(runtime.name, runtime.install, "may be faster here")
        elif round(gain.geometric_mean, 2) > 1:
            models = f"{gain.cases} model{'s' if gain.cases > 1 else ''}"
            said = f"{gain.geometric_mean:.2f}x as fast as {onnxruntime.RUNTIME.name}, geometric mean of {models}"
            yield Absent(runtime.name, runtime.install, f"may be faster here ({of_kind} it was {said})")
