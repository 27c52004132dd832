"""Workers of the tests: forked from a process that has imported PyTorch and the rest already, which takes two seconds.

Each is a process of its own with what ``Worker`` gives it, and a child of the test's process, as ever; only its
imports are done. ``mlopt.core.worker`` itself, and what is run as a program, are tested with workers that start cold.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import functools
import importlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

IMPORTED = (
    "numpy", "onnx", "onnxruntime", "torch", "torch._dynamo", "torch._inductor", "torch.export",
    "torch.onnx._internal.exporter._core", "onnxscript.function_libs.torch_lib.ops", "onnxsim",
)  # fmt: skip
_PR_SET_CHILD_SUBREAPER = 36
_LARGEST = 1 << 17


class Nursery:
    """The process that workers are forked from; it starts with the first of them."""

    def __init__(self) -> None:
        self._ours: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def popen(self, command: list[str], **how: Any) -> subprocess.Popen[bytes]:
        """Stands in for ``subprocess.Popen`` in ``mlopt.core.worker``."""
        if self._ours is None:
            self._open()
        assert self._ours is not None
        handed = [*how.pop("pass_fds"), how.pop("stdout").fileno()]
        how.pop("stderr")
        told = (command[2].rpartition("serve(")[0], Path.cwd(), how.pop("env"))
        assert how.pop("stdin") == subprocess.DEVNULL
        assert not how, f"a worker is started otherwise than tests/helpers/warm_workers.py knows: {how}"
        prctl = ctypes.CDLL(None).prctl
        prctl(_PR_SET_CHILD_SUBREAPER, 1)  # whose parent has ended becomes a child of this process
        try:
            socket.send_fds(self._ours, [pickle.dumps(told)], handed)
            pid = int(self._ours.recv(16))
        finally:
            prctl(_PR_SET_CHILD_SUBREAPER, 0)
        return Forked(command, pid)

    def _open(self) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = f"import sys; sys.path[:] = {sys.path!r}; import warm_workers; warm_workers.fork({theirs.fileno()})"
        self._process = subprocess.Popen(
            [sys.executable, "-c", command], pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        theirs.close()

    def close(self) -> None:
        if self._ours is not None and self._process is not None:
            self._ours.close()
            self._process.wait()


class Forked(subprocess.Popen[bytes]):
    """A child that somebody else has started for this process."""

    def __init__(self, command: list[str], pid: int) -> None:
        self.args, self.pid, self.returncode = command, pid, None
        self.stdin = self.stdout = self.stderr = None
        self._child_created, self._communication_started, self._input = True, False, None
        self._waitpid_lock = threading.Lock()


def read_operators_once() -> None:
    """PyTorch parses the Python of every operator that it knows, at each export anew: a second, half of an export."""
    module = sys.modules.get("torch.onnx._internal.exporter._registration")
    registry: Any = getattr(module, "ONNXRegistry", None)
    read = getattr(registry, "from_torchlib", None)
    if read is None or isinstance(vars(registry)["from_torchlib"], staticmethod):
        return
    importlib.import_module("torch.ao.quantization.fx._decomposed")  # Q/DQ, which is read only if it is there by now
    once = functools.cache(read)

    def copied(*args: Any, **kwargs: Any) -> Any:
        made = copy.copy(once(*args, **kwargs))
        made.functions = {target: list(found) for target, found in made.functions.items()}
        return made

    registry.from_torchlib = staticmethod(copied)


def _export_something() -> None:
    """What the first export of a process loads and keeps takes longer than the export."""
    with contextlib.suppress(Exception):
        import torch

        batch = {"input": {0: torch.export.Dim.DYNAMIC}}
        linear = torch.nn.Linear(4, 3).eval()
        torch.onnx.export(linear, (torch.ones(2, 4),), dynamo=True, dynamic_shapes=batch, verbose=False)


def fork(descriptor: int) -> None:
    """Import, and then start a worker for every message, until the tests are over."""
    for name in IMPORTED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    read_operators_once()
    _export_something()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked = socket.socket(fileno=descriptor)
    while True:
        message, handed, *_ = socket.recv_fds(asked, _LARGEST, 2)
        if not message:
            return
        read, write = os.pipe()
        between = os.fork()
        if between == 0:
            asked.close()
            _fork_again(message, handed, write)
        os.close(write)
        pid = os.read(read, 16)
        os.waitpid(between, 0)  # only now the worker is a child of the tests' process
        asked.send(pid)
        for each in (read, *handed):
            os.close(each)


def _fork_again(message: bytes, handed: list[int], told: int) -> None:
    """Start the worker, and end: so that the tests' process takes the place of its parent."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        os.write(told, str(pid).encode())
        os._exit(0)
    code = 1
    try:
        os.close(told)
        pipe, log = handed
        empty = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((empty, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.close(log)
        while os.getppid() == parent:
            time.sleep(0.001)
        start, folder, environment = pickle.loads(message)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        exec(f"{start}serve({pipe})", {"__name__": "__main__"})
        code = 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
        sys.stderr.write("" if isinstance(left.code, int | None) else f"{left.code}\n")
    except BaseException:  # noqa: BLE001 - what ends a process is told as Python tells it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
