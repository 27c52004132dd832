"""A library imported in a child process, to see whether that works and what it says of this machine.

A wheel can crash or hang when it is imported; the child takes that, and what it would have sent has no network there.
"""

from __future__ import annotations

import importlib
import importlib.util
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from mlopt.core.errors import MloptError
from mlopt.core.worker import Worker, WorkerDiedError, WorkerRaisedError
from mlopt.runtimes.table import runtime_named

LIMIT = 60.0
"""Seconds for an import."""


@dataclass(frozen=True)
class Looked:
    """What a library told, or why it could not be asked."""

    about: Mapping[str, str]
    failure: str | None
    seconds: float


def look(function: Callable[..., dict[str, str]], *args: str, limit: float = LIMIT) -> Looked:
    """Call a module-level function in a child that is ended after ``limit`` seconds; nothing is raised for it."""
    started = time.monotonic()
    with TemporaryDirectory(prefix="mlopt-look-") as folder, Worker(Path(folder) / "log") as worker:
        try:
            worker.host(function, *args, timeout=limit)
            about, failure = worker.invoke("copy", timeout=limit), None
        except (WorkerDiedError, WorkerRaisedError) as error:
            about, failure = {}, str(error)
        except MloptError as error:
            about, failure = {}, error.problems[0].got or error.problems[0].what
    return Looked(about, failure, time.monotonic() - started)


def about_runtime(name: str) -> dict[str, str]:
    """Import what a runtime takes, as it is imported to run a model, and return what it says of this machine.

    Where the runtime does not say how that is done, its packages are imported under their own names, if they have one.
    """
    runtime = runtime_named(name)
    if runtime.library is not None:
        runtime.library()
    else:
        for module in (package.replace("-", "_") for package in runtime.packages):
            if importlib.util.find_spec(module) is not None:
                importlib.import_module(module)
    return dict(runtime.about())
