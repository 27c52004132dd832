"""No network: what a recipe, a model or a metric brings along computes from what is on this machine.

A worker process closes the door for good: the kernel refuses the sockets, whoever asks for them, and so it does for its
children. The command's own process keeps a door for keyless signing, a shared cache, a cluster and a server to ask,
which is opened there and nowhere else; Python's audit hook guards it, and is also what puts a refusal in words.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_LOCAL = (1, 16)
"""The families that reach nobody else's machine: AF_UNIX, and AF_NETLINK, which asks Linux about its own network."""
_OF_AN_OPEN_ONE = -1
_TOLD = (
    "mlopt lets nothing that it runs use the network: get what it needs before, into a file, and read that "
    "(keyless signing alone goes to its services)"
)
_EVENTS = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"})
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _FILTER = 22, 38, 2
_SOCKET_CALLS = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""By machine: how the kernel names the architecture, and the number of ``socket``."""
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER, _ARCHITECTURE, _FAMILY = 0, 4, 16
"""Where in ``struct seccomp_data`` they stand."""

_guarded = False
_open = 0


def guard() -> None:
    """Refuse the network to this process's Python from now on, but within ``opened``."""
    global _guarded  # noqa: PLW0603 - an audit hook is never taken away, so there is one
    if not _guarded:
        sys.addaudithook(_hook)
        _guarded = True


def close() -> None:
    """Refuse the network to this process and its children for good; where the kernel cannot, to its Python."""
    import ctypes
    import platform
    import struct

    guard()
    found = _SOCKET_CALLS.get(platform.machine())
    if sys.platform != "linux" or found is None:
        return
    program = ctypes.create_string_buffer(_filter(*found))
    count = len(program) // 8
    asked = struct.pack("@HP", count, ctypes.addressof(program))
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    prctl(_PR_SET_SECCOMP, _FILTER, asked)


@contextmanager
def opened() -> Iterator[None]:
    """Let this process's Python use the network.

    Only around the services that sign without a key, and what the user names: a shared cache, a cluster to join, a
    server to ask or to put load on, and what a rollout talks to.
    """
    global _open  # noqa: PLW0603 - the state of the process's one hook
    _open += 1
    try:
        yield
    finally:
        _open -= 1


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _open:
        return
    if event in _EVENTS or (event == "socket.__new__" and arguments[1] not in (*_LOCAL, _OF_AN_OPEN_ONE)):
        raise PermissionError(errno.EACCES, _TOLD)


def _filter(architecture: int, number: int) -> bytes:
    """Return a program for the kernel that lets ``socket`` make local ones only, and lets everything else pass."""
    import struct

    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE), (_JUMP_IF_EQUAL, 0, 6, architecture),
        (_LOAD, 0, 0, _NUMBER), (_JUMP_IF_EQUAL, 0, 4, number),
        (_LOAD, 0, 0, _FAMILY), (_JUMP_IF_EQUAL, 2, 0, _LOCAL[0]), (_JUMP_IF_EQUAL, 1, 0, _LOCAL[1]),
        (_RETURN, 0, 0, _ERRNO | errno.EACCES),
        (_RETURN, 0, 0, _ALLOW),
    ]  # fmt: skip
    return b"".join(struct.pack("<HBBI", *line) for line in lines)
