"""What tries to reach the network, in a process of its own: each a function that a worker runs."""

from __future__ import annotations

import ctypes
import socket
import subprocess
import sys

AF_INET, AF_INET6 = 2, 10


def connect() -> None:
    socket.create_connection(("127.0.0.1", 9), timeout=1)


def resolve() -> None:
    socket.getaddrinfo("example.org", 443)


def listen() -> None:
    socket.socket(socket.AF_INET6, socket.SOCK_STREAM)


def fetch() -> None:
    from urllib.request import urlopen

    urlopen("http://127.0.0.1:9/", timeout=1)


def natively() -> list[int]:
    """Ask the C library, and let a child ask, past Python."""
    make = ctypes.CDLL(None).socket
    child = "import ctypes; print(ctypes.CDLL(None).socket(2, 1, 0))"
    told = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True).stdout
    return [make(AF_INET, 1, 0), make(AF_INET6, 2, 0), int(told)]


def locally() -> bool:
    ours, theirs = socket.socketpair()
    ours.sendall(b"x")
    return theirs.recv(1) == b"x" and ctypes.CDLL(None).socket(int(socket.AF_UNIX), 1, 0) > 0
