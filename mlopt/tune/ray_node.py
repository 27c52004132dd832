"""What runs on a node of a cluster: it says what the node is, and holds the laboratory in which calls are done.

Nothing here knows Ray: the classes become actors in ``on_ray``.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlopt.core.errors import MloptError, Problem
from mlopt.tune.executor import Laboratory, Open

_HEAD_BYTES = 1 << 20
_BOOT = Path("/proc/sys/kernel/random/boot_id")
CARRIED = ("MLOPT_CACHE", "MLOPT_SHARED_CACHE", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
"""Variables that are on each node as they are where the study was started, absent ones included: Ray sets the last
two by what an actor reserves, which would change what is measured."""


@dataclass(frozen=True)
class NodeFacts:
    """What a node says of itself."""

    host: str
    machine: str
    """One for all nodes that run on one kernel."""
    hardware: tuple[str, tuple[str, ...], int]
    """The CPU's name, its instruction sets, the cores: what a measurement's class is."""
    version: str
    """Of mlopt."""
    differs: tuple[str, ...]
    """What it does not see as the driver does, in words."""


def hardware_class() -> tuple[str, tuple[str, ...], int]:
    """Return what two machines must have in common for their times to be compared."""
    from mlopt.core.hardware import detect_cpu

    found = detect_cpu()
    return found.cpu, found.isa, found.cores


def prints(files: Sequence[Path]) -> dict[str, str]:
    """Return for each file what tells it from another one of its name: its size, and a digest of its first MiB."""
    return {str(file): _print(file) for file in files}


def _print(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            head = hashlib.sha256(stream.read(_HEAD_BYTES)).hexdigest()
            return f"{os.fstat(stream.fileno()).st_size} bytes, {head[:16]}"
    except IsADirectoryError:
        return "a folder"
    except OSError as error:
        return error.strerror or str(error)


def facts(seen: Mapping[str, str]) -> NodeFacts:
    """Return what this node is; ``seen`` are the ``prints`` that the driver took of the same files."""
    import mlopt

    here = prints([Path(name) for name in seen])
    machine = _BOOT.read_text().strip() if _BOOT.exists() else platform.node()
    differs = tuple(f"{name}: {here[name]}, not {there}" for name, there in seen.items() if here[name] != there)
    return NodeFacts(platform.node(), machine, hardware_class(), mlopt.__version__, differs)


class LaboratoryHost:
    """Opens a laboratory with its first call, and does calls in it one after the other."""

    def __init__(self, open_: Open, environment: Mapping[str, str | None]) -> None:
        self._open = open_
        self._laboratory: Laboratory | None = None
        for name, value in environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    def do(self, method: str, args: Sequence[Any]) -> dict[str, Any]:
        """Return ``value``, or ``error`` in one line, with ``began`` and ``ended`` by this node's clock.

        Where no laboratory can be opened, it is ``unopened`` with the problems: no other call will fare better.
        """
        try:
            laboratory = self._laboratory = self._laboratory or self._open()
        except MloptError as error:
            return {"unopened": [_plain(problem) for problem in error.problems]}
        began = time.time()
        try:
            outcome = {"value": getattr(laboratory, method)(*args)}
        except MloptError as error:
            outcome = {"error": error.brief}
        return {**outcome, "began": began, "ended": time.time()}

    def close(self) -> None:
        """Take away what the laboratory made."""
        if self._laboratory is not None:
            self._laboratory.close()
            self._laboratory = None
        sys.stdout.flush()


def _plain(problem: Problem) -> dict[str, str | None]:
    return {
        "what": problem.what, "where": problem.where, "got": problem.got, "expected": problem.expected,
        "fix": problem.fix,
    }  # fmt: skip
