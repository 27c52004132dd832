"""TensorRT and TensorRT-RTX: two libraries with one interface. Which of them is here, and how to get at it.

Their Python calls native code that ends the process where there is no driver, so nothing of them is imported before it
is known that it will answer, and then in a child process alone. TensorRT needs a GPU; TensorRT-RTX builds without one.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

from mlopt.core.errors import MissingPackage, PassError, Problem
from mlopt.core.hardware import Gpu
from mlopt.core.packages import install_command, version

Backend = Literal["tensorrt", "tensorrt_rtx"]
_INDEX = "https://pypi.nvidia.com"
_USED = ("Builder", "OnnxParser", "ILogger", "IErrorRecorder")
"""Without these it is not the library, but something that has its name."""


@dataclass(frozen=True)
class Library:
    """One of the two."""

    name: Backend
    """Also of its module."""
    label: str
    distributions: tuple[str, ...]
    install: str
    """The command that brings it."""
    oldest: str
    needs_gpu: bool
    """Whether it ends the process where no GPU answers."""

    @property
    def installed(self) -> bool:
        """Whether there is a module of this name, which is not imported."""
        return find_spec(self.name) is not None

    @property
    def version(self) -> str | None:
        """The version of what is installed."""
        return next((found for name in self.distributions if (found := version(name)) is not None), None)

    def lacking(self, gpu: Gpu | None) -> Problem | None:
        """Return what is missing for building an engine, and what brings it; None if nothing is."""
        from packaging.version import Version

        if not self.installed:
            return Problem(f"{self.label} is not installed", fix=self.install)
        if self.version is not None and Version(self.version) < Version(self.oldest):
            return Problem(f"this {self.label} is too old", got=self.version, expected=f"{self.oldest} or later",
                           fix=self.install)  # fmt: skip
        if self.needs_gpu and gpu is None:
            return Problem(
                f"{self.label} builds on the GPU that its engines are for, and no GPU answers",
                got="libcuda.so.1 is not there, cuInit fails, or there is no device", expected="a GPU and its driver",
                fix="run this on a machine with one, or build with `backend: tensorrt_rtx`, which needs none",
            )  # fmt: skip
        return None


TENSORRT = Library(
    name="tensorrt", label="TensorRT", distributions=("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
    install=f"pip install tensorrt --extra-index-url {_INDEX}", oldest="10.12", needs_gpu=True,
)  # fmt: skip
TENSORRT_RTX = Library(
    name="tensorrt_rtx", label="TensorRT-RTX",
    distributions=("tensorrt-rtx", "tensorrt-rtx-cu12", "tensorrt-rtx-cu13"),
    install=install_command("tensorrt-rtx"), oldest="1.4", needs_gpu=False,
)  # fmt: skip
LIBRARIES = {each.name: each for each in (TENSORRT, TENSORRT_RTX)}
DISTRIBUTIONS = tuple(name for each in LIBRARIES.values() for name in each.distributions)


def chosen(backend: Backend | Literal["auto"], gpu: Gpu | None) -> Library:
    """Return the library that a recipe means: by itself TensorRT where it can be used, else TensorRT-RTX."""
    if backend != "auto":
        return LIBRARIES[backend]
    return TENSORRT if TENSORRT.lacking(gpu) is None else TENSORRT_RTX


def import_library(library: Library, gpu: Gpu | None) -> Any:
    """Return the module, in a child process; raises ``MissingPackage`` for whatever keeps it from answering."""
    lacks = library.lacking(gpu)
    if lacks is not None:
        raise MissingPackage(lacks)
    try:
        found = importlib.import_module(library.name)
    except Exception as error:  # a package that only downloads the library, a library that is not found
        raise MissingPackage(
            f"{library.label} does not import", got=f"{type(error).__name__}: {error}"[:300], fix=library.install
        ) from error
    absent = [name for name in _USED if not hasattr(found, name)]
    if absent:
        raise MissingPackage(
            f"what is installed as {library.name} is not {library.label}", got=f"no {', '.join(absent)} in it",
            fix=library.install,
        )  # fmt: skip
    return found


def try_set(library: Library, trt: Any, option: str, setter: Any) -> None:
    """Set an option by calling ``setter(trt)``.

    Raises ``PassError`` that names the option, the library and its version, where it has none or refuses the value.
    """
    try:
        done = setter(trt)
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        raise PassError(
            f"{library.label} has no option '{option}', or not with this value", where=f"passes.tensorrt.{option}",
            got=f"{library.label} {trt.__version__}: {error}"[:300], fix="leave it out",
        ) from error  # fmt: skip
    if done is False:
        raise PassError(
            f"{library.label} refuses the option '{option}'", where=f"passes.tensorrt.{option}",
            got=f"{library.label} {trt.__version__}", fix="leave it out",
        )  # fmt: skip
