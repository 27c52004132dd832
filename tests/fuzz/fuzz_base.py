"""What a target is, and what it may cost: the common ground of ``fuzz_artifacts`` and ``fuzz_inputs``."""

from __future__ import annotations

import resource
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fuzz_mutations import Mutation

from mlopt.core.errors import MloptError

ROOT = Path(__file__).parents[2]
MAX_SECONDS = 5.0
MAX_GROWTH = 512 << 20
Run = Callable[[bytes, Path], object]


@dataclass(frozen=True)
class Target:
    """One parser."""

    name: str
    run: Run
    """Given the input, and the folder that ``prepare`` filled."""
    seeds: Callable[[], Sequence[bytes]]
    """Valid inputs: each is accepted."""
    mutate: Mutation
    prepare: Callable[[Path], object] = lambda folder: None
    examples: int = 100
    """How many mutations the test suite tries."""


def feed(target: Target, data: bytes, folder: Path) -> MloptError | None:
    """Run a target on one input; return the error that mlopt made of it. Raises whatever should not have come out."""
    cpu, peak = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = None
    with warnings.catch_warnings(action="ignore"):  # a library may complain of what it reads
        try:
            target.run(data, folder)
        except MloptError as error:
            found = error
            str(error)
    seconds = time.process_time() - cpu
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) << 10
    if seconds > MAX_SECONDS or growth > MAX_GROWTH:
        raise ResourceWarning(f"{target.name}: {seconds:.1f} s of CPU, {growth >> 20} MiB more memory at the peak")
    return found


def golden(name: str) -> bytes:
    """Return a golden file: most are valid inputs."""
    return (ROOT / "tests" / "goldens" / name).read_bytes()


def reports() -> list[bytes]:
    """Return a report of today and one of mlopt 0.1."""
    return [golden("report/report.json"), golden("report/report_0.1.json")]


def replacing(name: str, read: Callable[[Path], object]) -> Run:
    """Return a run that puts the input into the file ``name``, and reads that."""

    def run(data: bytes, folder: Path) -> object:
        (folder / name).write_bytes(data)
        return read(folder / name)

    return run
