"""Clusters of Ray on this machine, which nobody else can reach and which leave no process behind.

Who reaches a port of Ray can run programs, and parts of it listen on all interfaces, whatever they are told. So a
cluster runs inside a network namespace of its own, which has a loopback and nothing else, and inside a process
namespace of its own, which ends as a whole. Whoever is to use it runs inside them, too: see ``RayCluster.start``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

HELPERS = Path(__file__).parent
OBJECT_STORE_BYTES = 80_000_000
NAMESPACES = ["--net", "--pid", "--mount"]
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_enable_metrics_collection": "0", "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500", "RAY_health_check_timeout_ms": "2000",
}  # fmt: skip
"""No figures sent home; a node that is gone is missed within seconds, not within half a minute."""


@cache
def why_not() -> str | None:
    """Return why no cluster can be started here."""
    if importlib.util.find_spec("ray") is None:
        return "Ray is not installed: make .bench/ray/.installed"
    if not shutil.which("unshare") or not shutil.which("nsenter"):
        return "unshare and nsenter, of util-linux, are missing"
    tried = subprocess.run(_unshare(["true"]), capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"no namespace of its own is permitted here: {tried.stderr.strip()}"


def needed() -> None:
    """Skip the test where no cluster can be started."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)


class RayCluster:
    """A running cluster; ``nodes`` holds the ids of its nodes in hex, the head first."""

    def __init__(self, host: subprocess.Popen[str], environment: dict[str, str]) -> None:
        self._host = host
        self.environment = environment
        """What nodes and their users run with."""
        self.nodes: list[str] = []
        self.address = ""

    def add(self, cpus: int = 2, resources: dict[str, float] | None = None) -> int:
        """Start one more node; return its place in ``nodes``."""
        answer = self._ask(do="add", cpus=cpus, resources=resources or {})
        self.address = answer["address"]
        self.nodes.append(answer["id"])
        return int(answer["node"])

    def kill(self, node: int) -> None:
        """Kill a node's raylet and its workers, without a farewell. Not the head, which keeps the cluster's books."""
        assert node > 0
        self._ask(do="kill", node=node)

    def start(self, command: Sequence[str | Path], **how: Any) -> subprocess.Popen[str]:
        """Start a command inside the cluster's namespaces; ``how`` is that of ``Popen``."""
        folder = ["env", f"--chdir={how.pop('cwd', Path.cwd())}"]  # nsenter starts in the root
        inside = ["nsenter", f"--target={_children(self._host.pid)[0]}", *NAMESPACES, *_as_root_of("nsenter"), "--"]
        how.setdefault("env", self.environment)
        return subprocess.Popen([*inside, *folder, *map(str, command)], text=True, **how)

    def run(self, command: Sequence[str | Path], timeout: float = 120, **how: Any) -> subprocess.CompletedProcess[str]:
        """Run a command inside the cluster's namespaces to its end; its output is captured."""
        process = self.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            kill(process)
            out, err = process.communicate()
            pytest.fail(f"{command} ran for more than {timeout} s\n{out}\n{err}")
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def _ask(self, **what: Any) -> dict[str, Any]:
        assert self._host.stdin is not None
        assert self._host.stdout is not None
        self._host.stdin.write(json.dumps(what) + "\n")
        self._host.stdin.flush()
        line = self._host.stdout.readline()
        assert line, "the cluster's first process ended; its errors are in the test's output"
        return dict(json.loads(line))


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a command that ``RayCluster.start`` started: the process itself, and not only the one that waits for it."""
    for pid in (*_children(process.pid), process.pid):
        os.kill(pid, signal.SIGKILL)


def _environment(folder: str) -> dict[str, str]:
    """This one, with the helpers importable, and Ray quiet: it notes the last cluster that was started, too."""
    paths = [str(HELPERS), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, **QUIET, "RAY_TMPDIR": folder, "PYTHONPATH": os.pathsep.join(paths)}


@contextmanager
def cluster(*cpus: int) -> Iterator[RayCluster]:
    """Start a cluster of a node for each of ``cpus``, the head first; skips the test where that cannot be done.

    It takes about ten seconds, and a gigabyte.
    """
    needed()
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # the path of a socket takes 107 characters at most
    command = [sys.executable, str(HELPERS / "ray_host.py"), f"{folder}/ray", str(OBJECT_STORE_BYTES)]
    environment = _environment(folder)
    host = subprocess.Popen(
        _unshare(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        start_new_session=True,
    )  # fmt: skip
    try:
        running = RayCluster(host, environment)
        for each in cpus:
            running.add(each)
        yield running
    finally:
        for pid in (*_children(host.pid), host.pid):
            os.kill(pid, signal.SIGKILL)
        host.communicate()
        shutil.rmtree(folder, ignore_errors=True)


def _unshare(command: list[str]) -> list[str]:
    return ["unshare", *NAMESPACES, *_as_root_of("unshare"), "--fork", "--kill-child", "--mount-proc", "--", *command]


def _as_root_of(tool: str) -> list[str]:
    """Without root's rights, a user namespace of one's own gives them, where the system lets everybody make one."""
    if os.geteuid() == 0:
        return []
    return ["--user", "--map-root-user"] if tool == "unshare" else ["--user", "--preserve-credentials"]


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
