"""No network: a worker's door is closed for good, and that of the command itself but for keyless signing."""

from __future__ import annotations

import errno
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from network_attempts import connect, fetch, listen, locally, natively, resolve

from mlopt.core import network
from mlopt.core.worker import WorkerRaisedError, run_in_worker


@pytest.mark.process
@pytest.mark.parametrize("way", [connect, resolve, listen, fetch])
def test_a_worker_has_no_network(tmp_path: Path, way: Callable[[], None]) -> None:
    with pytest.raises(WorkerRaisedError, match="mlopt lets nothing that it runs use the network"):
        run_in_worker(tmp_path / "log", way)


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux's kernel can be told")
def test_nor_has_native_code_in_it_or_a_child(tmp_path: Path) -> None:
    assert run_in_worker(tmp_path / "log", natively) == [-1, -1, -1]


@pytest.mark.process
def test_sockets_within_the_machine_work(tmp_path: Path) -> None:
    assert run_in_worker(tmp_path / "log", locally)


@pytest.mark.process
def test_the_door_of_keyless_signing() -> None:
    told = (
        "import socket; from mlopt.core import network; network.guard()\n"
        "with network.opened(): socket.socket().close()\n"
        "try: socket.socket()\n"
        "except PermissionError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert network._TOLD in done.stdout


def decided(program: bytes, architecture: int, number: int, family: int) -> int:
    """Return what a program for the kernel answers to a system call, as the kernel runs it."""
    lines = list(struct.iter_unpack("<HBBI", program))
    asked, at, held = {0: number, 4: architecture, 16: family}, 0, 0
    while True:
        code, if_so, if_not, value = lines[at]
        at += 1
        if code == 0x06:
            return value
        if code == 0x20:
            held = asked[value]
        else:
            at += if_so if held == value else if_not


@pytest.mark.parametrize("machine", network._SOCKET_CALLS)
def test_the_kernels_program_refuses_sockets_that_reach_others_and_nothing_else(machine: str) -> None:
    architecture, number = network._SOCKET_CALLS[machine]
    program = network._filter(architecture, number)
    families = [family for family in range(46) if decided(program, architecture, number, family) == 0x7FFF0000]
    assert families == [socket.AF_UNIX, socket.AF_NETLINK]
    assert decided(program, architecture, number, socket.AF_INET) == 0x00050000 | errno.EACCES
    assert decided(program, architecture, number + 1, socket.AF_INET) == 0x7FFF0000
    assert decided(program, architecture + 1, number, socket.AF_INET) == 0x7FFF0000
