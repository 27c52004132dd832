"""The first process of a cluster's own namespaces: it starts nodes of Ray and kills them, as its input says.

Run by ``ray_cluster``, never imported. When its input ends it ends, and the kernel takes every process of the cluster
along, for it is process 1 of their namespace.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import struct
import sys
from pathlib import Path
from typing import Any

IFF_UP, SIOCGIFFLAGS, SIOCSIFFLAGS = 1, 0x8913, 0x8914


def raise_loopback() -> None:
    """A new network namespace has a loopback that is down, and nothing else."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, asked))[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))


class Host:
    def __init__(self, folder: str, object_store_bytes: int) -> None:
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(shutdown_at_exit=False)
        self.common = {
            "node_ip_address": "127.0.0.1", "include_dashboard": False, "temp_dir": folder,
            "object_store_memory": object_store_bytes, "include_log_monitor": False, "num_gpus": 0,
        }  # fmt: skip
        self.nodes: list[Any] = []

    def add(self, cpus: int, resources: dict[str, float]) -> dict[str, Any]:
        node = self.cluster.add_node(wait=True, num_cpus=cpus, resources=resources, **self.common)
        self.nodes.append(node)
        return {"address": self.cluster.address, "node": len(self.nodes) - 1, "id": node.node_id}

    def kill(self, node: int) -> dict[str, Any]:
        """Kill a raylet with all that it started, as if its machine lost its power."""
        raylet = self.nodes[node].all_processes["raylet"][0].process.pid
        gone = [raylet, *descendants(raylet)]
        for pid in gone:
            os.kill(pid, signal.SIGSTOP)  # so that none sees another one die and says good-bye
        for pid in gone:
            os.kill(pid, signal.SIGKILL)
        return {"killed": len(gone)}


def descendants(pid: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [deeper for child in children for deeper in descendants(child)]


def main() -> None:
    raise_loopback()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what Ray prints is no answer
    host = Host(sys.argv[1], int(sys.argv[2]))
    for line in sys.stdin:
        asked = json.loads(line)
        answer = getattr(host, asked.pop("do"))(**asked)
        print(json.dumps(answer), file=answers, flush=True)


main()
