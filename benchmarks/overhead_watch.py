"""What a command and all processes that it starts take: seconds, CPU seconds, and memory at its peak.

Memory is looked at in /proc a few times a second, for every process of the command's session. A process counts with the
most it ever held (VmHWM, which the kernel keeps, so that no peak between two looks is missed while it lives); a tree
with the sum of what its processes hold at one look, each shared page once (PSS).
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_EVERY_SECONDS = 0.1


@dataclass(frozen=True)
class Cost:
    """What a command took."""

    wall_seconds: float
    cpu_seconds: float
    largest_process_bytes: int
    tree_bytes: int
    """The sum over all processes at the worst look."""
    largest: str
    """What the largest process was, as far as its command line says."""
    printed: str
    code: int


@dataclass
class _Memory:
    session: int
    largest: int = 0
    tree: int = 0
    who: str = ""
    ended: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        while not self.ended.wait(_EVERY_SECONDS):
            self.look()

    def look(self) -> None:
        total = 0
        for process in _of_session(self.session):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                held = _kilobytes(process / "status", "VmHWM")
                total += _kilobytes(process / "smaps_rollup", "Pss")
                if held > self.largest:
                    self.largest, self.who = held, process.name
        self.tree = max(self.tree, total)


def watched(
    command: Sequence[str], folder: Path, variables: Mapping[str, str] = {}, codes: Sequence[int] = (0,)
) -> Cost:
    """Run a command to its end in a session of its own; raises ``RuntimeError`` with what it said if it fails."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with subprocess.Popen(
        command, cwd=folder, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        memory = _Memory(process.pid)
        watcher = threading.Thread(target=memory.watch)
        watcher.start()
        try:
            out, err = process.communicate()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            memory.ended.set()
            watcher.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode not in codes:
        raise RuntimeError(f"{' '.join(command)}: exit {process.returncode}\n{out[-4000:]}\n{err[-4000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    whose = "the command itself" if memory.who == str(process.pid) else "a worker"
    wall = time.monotonic() - began
    return Cost(wall, cpu, memory.largest * 1024, memory.tree * 1024, whose, out, process.returncode)


def _of_session(session: int) -> list[Path]:
    """Return the folders in /proc of a session's processes, zombies left out."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            state, _, _, of = (folder / "stat").read_text(encoding="ascii").rpartition(")")[2].split()[:4]
            if int(of) == session and state != "Z":
                found.append(folder)
    return found


def _kilobytes(file: Path, key: str) -> int:
    for line in file.read_text(encoding="ascii").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    return 0
