"""``torch.compile`` with the compiler of this machine: how fast those are who compile the PyTorch that they run today.

It writes C++ and builds it, which takes a C++ compiler and, the first time, most of a minute. What it writes lies in
the folder of the worker that runs it, or in one that is gone afterwards: never in the home, nor in the temporary folder
under a name that everybody knows. Nothing of it goes on beside what is timed: the first call compiles, in the process
that runs the model, one thing after the other; a call with other sizes, or on another way through a model that looks at
its values, may compile once more.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mlopt.core.errors import ModelError, Problem
from mlopt.core.own_files import GENERATED

if TYPE_CHECKING:
    import torch

_OPTIONS = {
    "compile_threads": 1,  # no pool of processes
    "cpp_cache_precompile_headers": False,  # they go to the temporary folder whatever the cache's folder is
}
_INSTALL = "apt install g++ (Debian, Ubuntu), dnf install gcc-c++ (Fedora); or set CXX to a compiler that is there"


def missing_compiler() -> Problem | None:
    """Return what to say where the C++ compiler is not there; None if it is."""
    named = os.environ.get("CXX", "g++")
    if shutil.which(named) is not None:
        return None
    return Problem("torch.compile builds C++, and there is no compiler", got=f"no {named}", fix=_INSTALL)


@contextmanager
def own_folder() -> Iterator[None]:
    """Have the code that is generated lie in the worker's folder or, in another process, in one that goes away."""
    if GENERATED in os.environ:
        yield
        return
    with TemporaryDirectory(prefix="mlopt-compile-") as folder:
        os.environ[GENERATED] = folder
        try:
            yield
        finally:
            del os.environ[GENERATED]


def compiled(module: torch.nn.Module) -> None:
    """Have the module compile itself when it is first called, and again for sizes that what there is does not take."""
    module.compile(options=_OPTIONS)


def graphs() -> int:
    """Return how many parts of models were compiled in this process so far."""
    counters: Any = _counters()
    return int(counters["stats"]["unique_graphs"])


def check_compiled(before: int, where: str) -> None:
    """Raise ``ModelError`` if a model that has run was not compiled at all, since ``graphs`` was ``before``."""
    if graphs() == before:
        raise ModelError(
            "torch.compile compiled no part of the model", where=where, got="a model that runs as it is written",
            expected="operators of PyTorch in a forward() that may be compiled",
        )  # fmt: skip


def _counters() -> Any:
    from torch._dynamo.utils import counters

    return counters
