"""Workers that start warm: forked from a process that has done its imports, which take longer than much of their work.

Each is a process of its own and a child of the one that asked for it, as if that had started it. The nursery itself
runs nothing but imports, and has no secrets: what ``mlopt.core.worker`` gives a worker comes with the order for it. A
worker may have a nursery in turn, forked from it before it does anything. Where the nursery cannot be asked, a worker
starts cold. Linux only, as workers are.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_LARGEST = 1 << 17
_SERVE = "serve("
_START = "import sys; sys.path[:] = {path!r}; from mlopt.core import nursery; nursery.serve({fd}, {modules!r})"

Popen = Callable[..., "subprocess.Popen[bytes]"]


class Nursery:
    """The side of the process that wants workers; ``ours`` is its end of the sockets."""

    def __init__(self, ours: socket.socket, process: subprocess.Popen[bytes] | None = None) -> None:
        self._ours, self._process = ours, process
        self._lock = threading.Lock()

    def popen(
        self, command: Sequence[str], *, pass_fds: Sequence[int], env: dict[str, str], stdout: IO[bytes], popen: Popen,
        **how: Any,
    ) -> subprocess.Popen[bytes]:  # fmt: skip
        """Start a worker as ``subprocess.Popen`` would; by ``popen``, cold, if that cannot be."""
        order = json.dumps((command[2], str(Path.cwd()), env)).encode()
        if len(order) > _LARGEST:
            return popen(command, pass_fds=pass_fds, env=env, stdout=stdout, **how)
        prctl = ctypes.CDLL(None).prctl
        with self._lock:
            prctl(_PR_SET_CHILD_SUBREAPER, 1)  # whose parent has ended becomes a child of this process
            try:
                socket.send_fds(self._ours, [order], [*pass_fds, stdout.fileno()])
                pid = int(self._ours.recv(16))
            except (OSError, ValueError):  # it is gone
                return popen(command, pass_fds=pass_fds, env=env, stdout=stdout, **how)
            finally:
                prctl(_PR_SET_CHILD_SUBREAPER, 0)
        return Forked(command, pid)

    def close(self) -> None:
        """End the nursery; workers live on."""
        self._ours.close()
        if self._process is not None:
            self._process.wait()


class Forked(subprocess.Popen[bytes]):
    """A child that somebody else has started for this process."""

    def __init__(self, command: Sequence[str], pid: int) -> None:
        self.args, self.pid, self.returncode = command, pid, None
        self.stdin = self.stdout = self.stderr = None
        self._child_created, self._communication_started, self._input = True, False, None
        self._waitpid_lock = threading.Lock()


_nursery: Nursery | None = None
_modules: tuple[str, ...] = ()
"""What a nursery imports, where one is wanted and not started yet."""


@contextlib.contextmanager
def opened(modules: Sequence[str]) -> Iterator[None]:
    """Let workers that are started within start warm, with these modules; the first of them starts the nursery."""
    global _modules  # noqa: PLW0603 - a process has one nursery
    if _nursery is not None or _modules:
        yield
        return
    _modules = tuple(modules)
    try:
        yield
    finally:
        _modules = ()
        _closed()


def also(*modules: str) -> None:
    """Let the nursery import these, too, if one is wanted and not started yet: what most workers of this run take."""
    global _modules  # noqa: PLW0603 - a process has one nursery
    if _modules and _nursery is None:
        _modules += tuple(name for name in modules if name not in _modules)


def done() -> None:
    """End the nursery: few workers follow, and it holds memory that what is measured from now on may want."""
    global _modules  # noqa: PLW0603 - a process has one nursery
    _modules = ()
    _closed()


def _closed() -> None:
    global _nursery  # noqa: PLW0603 - a process has one nursery
    if _nursery is not None:
        _nursery.close()
        _nursery = None


def started(popen: Popen, environment: dict[str, str], *, cold: bool) -> Popen:
    """Return what starts a worker: ``popen``, or what stands in for it where there is a nursery.

    ``environment`` is that of a nursery that has to be started for it.
    """
    global _nursery  # noqa: PLW0603 - a process has one nursery
    if cold or (_nursery is None and not _modules):
        return popen
    if _nursery is None:
        _nursery = _started(popen, environment)
    warm = _nursery
    return lambda command, **how: warm.popen(command, popen=popen, **how)


def _started(popen: Popen, environment: dict[str, str]) -> Nursery:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = popen(
        [sys.executable, "-c", _START.format(path=sys.path, fd=theirs.fileno(), modules=_modules)],
        pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=environment,
    )  # fmt: skip
    theirs.close()
    return Nursery(ours, process)


def serve(descriptor: int, modules: Sequence[str]) -> None:
    """Be a nursery: import, then start a worker for every order, until nobody is left to give one."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    _take_orders(socket.socket(fileno=descriptor))


def _take_orders(orders: socket.socket) -> None:
    while True:
        order, handed, *_ = socket.recv_fds(orders, _LARGEST, 2)
        if not order:
            return
        read, write = os.pipe()
        between = os.fork()
        if between == 0:
            orders.close()
            os.close(read)
            _fork_again(order, handed, write)
        os.close(write)
        pid = os.read(read, 16)
        os.waitpid(between, 0)  # only now the worker is a child of who asked for it
        orders.send(pid)
        for each in (read, *handed):
            os.close(each)


def _fork_again(order: bytes, handed: Sequence[int], told: int) -> NoReturn:
    """Start the worker, and end: so that who asked for it takes the place of its parent."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        os.write(told, str(pid).encode())
        os._exit(0)
    code = 1
    try:
        os.close(told)
        while os.getppid() == parent:
            time.sleep(0.0005)
        code = _worked(order, *handed)
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
        sys.stderr.write("" if isinstance(left.code, int | None) else f"{left.code}\n")
    except BaseException:  # noqa: BLE001 - what ends a process is told as Python tells it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _worked(order: bytes, pipe: int, log: int) -> int:
    """Be the worker, with its own nursery beside it; what stood for the descriptor in the command is ``pipe`` here."""
    global _nursery  # noqa: PLW0603 - a process has one nursery
    empty = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((empty, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(log)
    command, folder, environment = json.loads(order)
    _nursery = _beside(pipe)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # what an import may have looked up is another's
    signal.signal(signal.SIGINT, signal.default_int_handler)
    start, _, given = command.rpartition(_SERVE)
    _, _, rest = given.partition(",")
    exec(f"{start}{_SERVE}{pipe},{rest}", {"__name__": "__main__"})  # noqa: S102 - the command of a worker
    _closed()
    return 0


def _beside(pipe: int) -> Nursery:
    """Fork a nursery off this process, which has done nothing yet."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if pid := os.fork():
        theirs.close()
        return Nursery(ours, Forked((), pid))
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    ours.close()
    os.close(pipe)
    try:
        _take_orders(theirs)
    finally:
        os._exit(0)
