"""A cluster for the tests of a file: a head that only keeps the books, and two nodes of two CPUs each."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ray_cluster import HELPERS, RayCluster, cluster, kill

Lines = list[dict[str, Any]]


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayCluster]:
    with cluster(0, 2, 2) as running:
        yield running


class Study:
    """A study that runs inside the namespaces of a cluster."""

    def __init__(self, running: RayCluster, folder: Path, asked: dict[str, Any]) -> None:
        command = [sys.executable, HELPERS / "toy_study.py", running.address, folder]
        pipe = subprocess.PIPE
        self.process = running.start(command, stdin=pipe, stdout=pipe, stderr=pipe)
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asked))
        self.process.stdin.close()

    def next(self) -> dict[str, Any]:
        """Wait for the next line that it prints."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.errors()
        return dict(json.loads(line))

    def rest(self) -> Lines:
        """Wait for its end, and return all other lines."""
        assert self.process.stdout is not None
        lines = [json.loads(line) for line in self.process.stdout]
        assert self.process.wait(timeout=60) == 0, self.errors()
        return lines

    def errors(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read()


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Callable[..., Study]]:
    started = []

    def start(running: RayCluster, *calls: tuple[Any, ...], **asked: Any) -> Study:
        started.append(Study(running, tmp_path, {"calls": calls, **asked}))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            kill(each.process)
        each.process.wait()
        for stream in (each.process.stdout, each.process.stderr):
            assert stream is not None
            stream.close()
