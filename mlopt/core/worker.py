"""A child process that does one thing at a time for its parent: run a pass, or be one measured candidate.

A crash in a native library ends the child, not the run; memory and threads of one candidate never touch another's.
The protocol is a pickle over a pair of connected sockets without a name, which no other process can reach: both ends
are one user's and one program's, and no byte of a file gets into it. Functions travel by name, so they stand at module
level. What the child prints goes to its log file. The child runs code of recipes and reads models of others, so it gets
nothing to sign with (``child_environment``), and no network.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import math
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar

from mlopt.core import network, nursery, voice
from mlopt.core.errors import MloptError
from mlopt.core.own_files import GENERATED
from mlopt.core.voice import Hear

P = ParamSpec("P")
R = TypeVar("R")

_PR_SET_PDEATHSIG = 1
_SECRETS = frozenset({
    "MLOPT_KEY_PASSPHRASE",
    "SIGSTORE_ID_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_URL",
    "BUILDKITE_AGENT_ACCESS_TOKEN",
})  # fmt: skip
"""What lets its holder sign: with the user's key, or as the identity of a CI job."""
_SHARED = "MLOPT_SHARED_TMPDIR"
_START = "import sys; sys.path[:] = {path!r}; from mlopt.core.worker import serve; serve({fd}, {echo})"


class WorkerDiedError(Exception):
    """The child did not answer: it crashed, was killed, or ran out of time. The message says which, in one line."""


class WorkerRaisedError(Exception):
    """The child's function raised something that mlopt did not foresee; the message is its last line."""


class Worker:
    """One child process; use as a context manager. ``log`` gets everything that it prints.

    ``hear`` gets what it tells of its work, by default whoever listens (``mlopt.core.voice``). A ``quiet`` one passes
    on nothing of what is printed; a ``cold`` one has imported nothing that it did not need itself.
    """

    def __init__(self, log: Path, hear: Hear | None = None, *, quiet: bool = False, cold: bool = False) -> None:
        heard = voice.listener()
        self.log, self._hear, self._say = log, hear or heard.hear, heard.say
        parent, child = _pipe()
        beside = log.resolve().parent
        bare = child_environment() | {"ORT_DISABLE_TELEMETRY": "1"}
        environment = bare | {
            "PYTHONUNBUFFERED": "1", GENERATED: str(beside / "generated"),
            "TMPDIR": str(_temporary(beside)), _SHARED: shared_folder(),
        }  # fmt: skip
        with log.open("ab") as stream:
            self._printed_before = stream.tell()
            self._process = nursery.started(subprocess.Popen, bare, cold=cold)(
                [sys.executable, "-c", _START.format(path=sys.path, fd=child.fileno(), echo=not quiet)],
                pass_fds=[child.fileno()], stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=environment,
            )  # fmt: skip
        child.close()
        self._pipe = parent

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a module-level function in the child and return its result."""
        result: R = self._ask("call", function, args, kwargs)
        return result

    def call_for(self, seconds: float, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call, but for no longer than this: the child is then ended, which raises ``WorkerDiedError``."""
        result: R = self._ask("call", function, args, kwargs, seconds)
        return result

    def host(self, factory: Callable[..., Any], *args: Any, timeout: float | None = None) -> None:
        """Make an object that lives in the child; ``invoke`` then calls its methods.

        A child that takes longer than ``timeout`` seconds is ended, which raises ``WorkerDiedError``.
        """
        self._ask("host", factory, args, {}, timeout)

    def invoke(self, method: str, *args: Any, timeout: float | None = None) -> Any:
        """Call a method of the hosted object; ``timeout`` as for ``host``."""
        return self._ask("invoke", method, args, {}, timeout)

    def close(self) -> None:
        """End the child, now."""
        self._pipe.close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def end(self) -> None:
        """End the child from another thread than that which waits for its answer, and which gets WorkerDiedError."""
        self._process.kill()

    def _ask(
        self, verb: str, what: Any, args: tuple[Any, ...], kwargs: dict[str, Any], timeout: float | None = None
    ) -> Any:
        try:
            self._pipe.send((verb, what, args, kwargs))
            outcome, value = self._receive(timeout)
        except TimeoutError as error:
            self._process.kill()
            self._process.wait()
            raise WorkerDiedError(
                f"it did not answer for {timeout:.3g} s and was ended" + self._last_words()
            ) from error
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            raise WorkerDiedError(_cause_of_death(self._process) + self._last_words()) from error
        if outcome == "ok":
            return value
        if outcome == "error":
            raise value
        line, trace = value
        raised = WorkerRaisedError(line)
        raised.add_note(trace)
        raise raised

    def _last_words(self) -> str:
        """Quote the last line that the child printed, since its log may not outlive the run."""
        with self.log.open("rb") as stream:
            stream.seek(self._printed_before)
            lines = stream.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"; the last line it printed: {last[:200]}" if last else ""

    def _receive(self, timeout: float | None) -> Any:
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            while not self._pipe.poll(max(0.0, min(1.0, deadline - time.monotonic()))):
                if self._process.poll() is not None and not self._pipe.poll(0):
                    raise EOFError("the child is gone")  # its own children may hold the pipe open after its death
                if time.monotonic() >= deadline:
                    raise TimeoutError
            outcome, value = self._pipe.recv()
            if outcome == "told":
                self._hear(*value)
            elif outcome == "printed":
                self._say(value)
            else:
                return outcome, value


def run_in_worker(log: Path, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run one function in a child of its own."""
    with Worker(log) as worker:
        return worker.call(function, *args, **kwargs)


def run_in_worker_for(
    seconds: float, log: Path, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs
) -> R:  # fmt: skip
    """Run one function in a child of its own, which is ended after so many seconds: ``WorkerDiedError``."""
    with Worker(log) as worker:
        result: R = worker.call_for(seconds, function, *args, **kwargs)
        return result


def shared_folder() -> str:
    """Return where a user's processes find each other's locks: the temporary folder of the one that began."""
    return os.environ.get(_SHARED) or tempfile.gettempdir()


def _temporary(beside: Path) -> Path:
    """Make a child's folder for temporary files, which goes when its log goes: a child that is killed leaves some."""
    folder = beside / "temporary"
    folder.mkdir(exist_ok=True)
    return folder


def child_environment() -> dict[str, str]:
    """Return the environment for any child process: this one's, without what one could sign with."""
    return {key: value for key, value in os.environ.items() if key not in _SECRETS}


def peak_rss_bytes() -> int:
    """Return the most memory that this process has held at once.

    Read from ``VmHWM``, because ``ru_maxrss`` starts at what the parent held when it started this process.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no VmHWM line")


def serve(descriptor: int, echo: bool = False) -> None:
    """Answer the parent until it closes the pipe: the child's side. ``echo`` passes on what is printed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt ends
    network.close()
    pipe = Connection(descriptor)
    voice.connect(pipe)
    if echo:
        sys.stdout = voice.Echo(sys.stdout)
    hosted: Any = None
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            verb, what, args, kwargs = pipe.recv()
            try:
                if verb == "host":
                    hosted, value = what(*args), None
                else:
                    value = (getattr(hosted, what) if verb == "invoke" else what)(*args, **kwargs)
                voice.answer(pipe, "ok", value)
            except MloptError as error:
                traceback.print_exc()  # the log is what a failed step leaves behind
                voice.answer(pipe, *(("error", error) if _travels(error) else ("raised", _in_words(error))))
            except Exception as error:  # noqa: BLE001 - the boundary of the process: told to the parent in full
                traceback.print_exc()
                voice.answer(pipe, "raised", _in_words(error))


def _pipe() -> tuple[Connection, Connection]:
    import socket

    ours, theirs = socket.socketpair()
    return Connection(ours.detach()), Connection(theirs.detach())


def _travels(error: MloptError) -> bool:
    """Whether the parent can make it again: a copy is made as its pickle is read, and may want more than that holds."""
    try:
        pickle.dumps(error)
        return isinstance(copy.deepcopy(error), MloptError)
    except Exception:  # noqa: BLE001 - making it again calls what the error's class wants, which may raise anything
        return False


def _in_words(error: Exception) -> tuple[str, str]:
    """Return the line that says what was raised, and the whole trace."""
    return _last_line(error), traceback.format_exc().rstrip()


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:500]


def _cause_of_death(process: subprocess.Popen[bytes]) -> str:
    try:
        code = process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        return "it stopped answering and was ended"
    if code >= 0:
        return f"it exited with code {code}"
    name = signal.Signals(-code).name
    hint = {"SIGKILL": " (out of memory?)", "SIGSEGV": " (a crash in native code)"}.get(name, "")
    return f"it was ended by {name}{hint}"
