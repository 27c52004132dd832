"""Joining a cluster of Ray that is named: never starting one, and saying clearly why one cannot be joined.

Ray itself asks an address that nobody answers for ten minutes, prints on standard output, and takes over SIGTERM.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mlopt.core import network
from mlopt.core.errors import MissingPackage, UserError
from mlopt.core.packages import install_command

_LOG = logging.getLogger(__name__)
_PATIENCE_S = 5.0
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0", "RAY_NUM_REDIS_GET_RETRIES": "2", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}  # fmt: skip
"""Before Ray is imported: no figures sent home, no long waiting, no variable of GPUs emptied."""


@dataclass(frozen=True)
class ClusterNode:
    """A node that is alive, as the cluster's books have it."""

    id: str
    cpus: float
    """How many Ray may hand out; none on a head that only keeps the books."""
    named_target: bool
    """Whether it has the resource ``mlopt_target``."""


@contextlib.contextmanager
def joined(address: str) -> Iterator[None]:
    """Be a driver of the cluster; leaving it ends every actor of this process.

    Raises ``MissingPackage`` without Ray; ``UserError`` where nobody answers at ``address`` (``HOST:PORT``), where this
    machine is no node of that cluster, or where its version of Ray or Python is another one.
    """
    with network.opened():
        _answers(address)
        ray = _imported()
        _join(ray, address)
    _keep_quiet()
    try:
        yield
    finally:
        with network.opened():
            ray.shutdown()


def nodes_alive() -> list[ClusterNode]:
    """Return the nodes of the cluster that can be given work."""
    import ray

    alive = [node for node in ray.nodes() if node["Alive"]]
    found = [
        ClusterNode(node["NodeID"], float(node["Resources"].get("CPU", 0)), bool(node["Resources"].get("mlopt_target")))
        for node in alive
    ]
    return [node for node in found if node.cpus > 0]


def _join(ray: Any, address: str) -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False, include_dashboard=False)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise _in_words(error, address) from error
    finally:
        with contextlib.suppress(ValueError):  # not the main thread: Ray did not touch it either
            signal.signal(signal.SIGTERM, before)


def _answers(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise UserError(
            "this is no address of a cluster", where="--ray", got=address,
            expected="HOST:PORT, as `ray start` prints it", fix="docs/ray.md shows how to start one; mlopt only joins",
        )  # fmt: skip
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE_S).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            "no cluster of Ray answers", where=address, got=str(error),
            fix="`ray start --head` on one machine starts one (docs/ray.md says how to do that safely)",
        ) from error  # fmt: skip


def _imported() -> Any:
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise MissingPackage("Ray is not installed", got=str(error), fix=install_command("ray")) from error
    return ray


def _in_words(error: Exception, address: str) -> UserError:
    said = " ".join(str(error).split())
    if "Version mismatch" in said:
        what, fix = "the cluster runs another version of Ray or Python", "install what the cluster has, on every node"
    elif isinstance(error, RuntimeError) and "ray.init" in said:
        what, fix = "this process has joined a cluster already", "leave it first"
    else:
        what = "the cluster cannot be joined from here"
        fix = f"make this machine a node of it: `ray start --address={address} --num-cpus=0` (docs/ray.md)"
    return UserError(what, where=address, got=said[:500], fix=fix)


def _keep_quiet() -> None:
    """Ray prints the cluster's news on standard output, where a verb's JSON goes; they belong in the log."""
    from ray._private import worker

    def noted(data: dict[str, Any], ignore_prefix: bool = False) -> None:  # noqa: ARG001 - as Ray calls it
        for line in data.get("lines", ()):
            _LOG.info("%s", line)

    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = noted
