"""Python of a recipe runs as it was digested: compiled from the bytes that were read then, whatever lies beside it.

Bytecode on disk may say something else than its source, and a module may be imported that no import statement names.
So the files that a digest covers are imported from memory; and while a recipe's Python is at work, no other file of
code is opened: neither by an import, nor by its loaders, nor as a library. Installed packages are trusted as they are.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from mlopt.core.errors import ModelError
from mlopt.core.own_files import GENERATED, is_installed

_GENERATED = os.environ.get(GENERATED)
_BYTECODE = (".pyc", ".pyo")
_sources: dict[str, bytes] = {}
"""What was read of each file that a digest covers, by its path; the files of all recipes of this process."""


def watch(sources: Mapping[str, bytes]) -> None:
    """From now on, import these files as they were read, and let their code run no file but them and installed ones."""
    if not _sources:
        sys.meta_path.insert(0, _Finder())
        sys.addaudithook(_hook)
    _sources.update(sources)


def module(name: str, path: Path) -> ModuleType:
    """Return a watched file as a module that has not run yet; its loader runs it."""
    spec = spec_from_file_location(name, path, loader=_Loader(name, str(path)))
    if spec is None:
        raise ModelError("Python cannot import this file", where=str(path), expected="a .py file")
    return module_from_spec(spec)


class _Loader(SourceFileLoader):
    """Compiles what was read when the file was digested."""

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002 - as the base class has it
        """Return the code of the file that this loader is for."""
        return self.source_to_code(_sources[self.path], self.path)


class _Finder:
    """Stands before Python's own finders."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a watched file; refuse any other that a recipe's Python asks for and that is not installed."""
        found = PathFinder.find_spec(name, path, target)
        if found is None or found.origin is None:
            return None
        if found.origin in _sources and found.origin.endswith(".py"):
            within = found.submodule_search_locations
            return spec_from_file_location(
                name, found.origin, loader=_Loader(name, found.origin), submodule_search_locations=within
            )
        _check(found.origin, name)
        return None


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str) and arguments[0].endswith(_BYTECODE):
        if not _is_trusted(_absolute(arguments[0])) and _at_work():  # Python's own loader then compiles the source
            raise FileNotFoundError(errno.ENOENT, "mlopt reads no bytecode of a recipe's Python", arguments[0])
    elif event == "exec" and isinstance(arguments[0], CodeType):
        file = _absolute(arguments[0].co_filename)
        if os.path.isfile(file):  # noqa: PTH113 - asked of all code that is run; most is none of a file's own
            _check(file, Path(file).stem)
    elif event == "ctypes.dlopen" and isinstance(arguments[0], str) and os.path.sep in arguments[0]:
        _check(_absolute(arguments[0]), None)


def _absolute(file: str) -> str:
    return os.path.abspath(file)  # noqa: PTH100 - links stay: what is installed may be one


def _check(file: str, name: str | None) -> None:
    """Raise ``ModelError`` if a recipe's Python is about to run a file that no digest covers."""
    if _is_trusted(file) or file in _sources or not _at_work():
        return
    fix = f"write `import {name.partition('.')[0]}` into the file that needs it" if name else "install it as a package"
    raise ModelError(
        "the recipe's Python was about to run a file that its digest does not cover", got=file,
        expected="Python modules that an import statement names, and installed packages", fix=fix,
    )  # fmt: skip


def _is_trusted(file: str) -> bool:
    """Whether a file is installed, or was written by PyTorch's compiler for this run."""
    return is_installed(Path(file)) or (_GENERATED is not None and Path(file).is_relative_to(_GENERATED))


def _at_work() -> bool:
    """Whether a recipe's Python stands anywhere among the calls that led here."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename in _sources:
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False
