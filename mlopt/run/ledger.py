"""What runs took, kept beside the cache: a line of JSON for each, from which ``plan`` estimates the next.

A line that cannot be read, or a file that another user could have written, tells nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from mlopt.core.ownership import distrusted

_FILE = "runs.jsonl"
_KEPT = 200
_MOST_BYTES = 1 << 20
_WORK = 0.5
"""Seconds: what takes less came from the cache."""
_CACHED = {"source", "data"}
_PLACE = re.compile(r" \(\d+ of \d+\).*")


@dataclass(frozen=True)
class Workload:
    """What the time of a run grows with."""

    macs: float
    """Multiplications of one inference; 0 if not known."""
    samples: int
    """That outputs are computed for."""

    @property
    def work(self) -> float:
        """The multiplications of all samples."""
        return self.macs * self.samples


@dataclass(frozen=True)
class Spent:
    """One run."""

    name: str
    """The recipe's."""
    size: Workload
    seconds: Mapping[str, float]
    """By phase, of those that had work to do: once each, however often it came."""
    quick: bool = False


def phase_of(stage: str) -> str:
    """Return the phase that a stage is of: ``pass quantize (2 of 3), in openvino`` is of ``pass quantize``."""
    return _PLACE.sub("", stage)


def by_phase(took: Mapping[str, float]) -> dict[str, float]:
    """Return the mean seconds of each phase that had work to do, from those of stages."""
    several: dict[str, list[float]] = {}
    for stage, seconds in took.items():
        several.setdefault(phase_of(stage), []).append(seconds)
    means = {phase: sum(each) / len(each) for phase, each in several.items()}
    return {phase: spent for phase, spent in means.items() if spent >= _WORK or phase not in _CACHED}


def read(root: Path) -> list[Spent]:
    """Return the runs that are kept, the oldest first."""
    file = root / _FILE
    try:
        if distrusted(file.stat()) is not None:
            return []
        with file.open("rb") as stream:
            lines = stream.read(_MOST_BYTES).splitlines()
    except OSError:
        return []
    return [run for line in lines if (run := _run(line)) is not None]


def add(root: Path, spent: Spent) -> None:
    """Keep one more run, and of those before only the latest; where nothing can be written, nothing is kept."""
    lines = [*read(root)[1 - _KEPT :], spent]
    text = "".join(json.dumps(asdict(each)) + "\n" for each in lines)
    fresh = root / f"{_FILE}.new"
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.chmod(0o600)
        fresh.replace(root / _FILE)
    except OSError:
        fresh.unlink(missing_ok=True)


def _run(line: bytes) -> Spent | None:
    try:
        found = json.loads(line)
        seconds = {str(phase): float(each) for phase, each in found["seconds"].items() if 0 <= float(each) < 1e7}
        size = Workload(max(0.0, float(found["size"]["macs"])), max(0, int(found["size"]["samples"])))
        return Spent(str(found["name"]), size, seconds, bool(found["quick"]))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return None
