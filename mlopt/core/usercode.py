"""Python that a recipe names, such as ``./mnist_cnn.py:build``: found, digested, and run only with consent.

A file's digest covers every file that it imports and that no installed package brings, so a changed helper counts as a
change. Running one that the digest does not cover is an error.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import importlib.util
import os
import random
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

from mlopt.core import digested
from mlopt.core.errors import MloptError, ModelError
from mlopt.core.own_files import GENERATED, is_installed
from mlopt.core.packages import version

_LOADED = "__mlopt_digest__"


@dataclass(frozen=True)
class CodeReference:
    """A function in a Python file."""

    path: Path
    function: str

    def __str__(self) -> str:
        return f"{self.path}:{self.function}"

    @property
    def digests(self) -> dict[str, str]:
        """The SHA-256 of the file and of each local module that it imports, by path relative to the file's folder."""
        return self._digests(_read(self.path))

    def _digests(self, sources: Mapping[str, bytes]) -> dict[str, str]:
        base = self.path.parent
        return {
            Path(os.path.relpath(file, base)).as_posix(): hashlib.sha256(source).hexdigest()
            for file, source in sources.items()
        }

    @property
    def digest(self) -> str:
        """One SHA-256 over ``digests``, names included."""
        return _as_one(self.digests)

    def load(self) -> Callable[..., Any]:
        """Import the file (which runs it, as it is digested) and return the function."""
        name = f"mlopt_recipe_{self.path.stem}"
        folder = str(self.path.parent)
        if folder not in sys.path:
            sys.path.insert(0, folder)
        sources = _read(self.path)
        module, digest = sys.modules.get(name), _as_one(self._digests(sources))
        if module is None or module.__file__ != str(self.path) or vars(module).get(_LOADED) != digest:
            _forget(sources)
            digested.watch(sources)
            module = sys.modules[name] = digested.module(name, self.path)
            setattr(module, _LOADED, digest)
            try:
                module.__spec__.loader.exec_module(module)  # type: ignore[union-attr]
            except BaseException as error:
                del sys.modules[name]
                if isinstance(error, MloptError) or not isinstance(error, Exception):
                    raise
                raise with_traceback(
                    ModelError(
                        "the Python file cannot be imported",
                        where=own_line(error) or str(self.path),
                        got=f"{type(error).__name__}: {error}",
                    ),
                    error,
                ) from error
        found = getattr(module, self.function, None)
        if not callable(found):
            names = ", ".join(sorted(n for n, v in vars(module).items() if callable(v) and not n.startswith("_")))
            raise ModelError(
                f"there is no function '{self.function}'", where=str(self.path), got=self.function, expected=names
            )
        function: Callable[..., Any] = found
        return function


def parse_reference(text: str, base: Path) -> CodeReference | None:
    """Read ``./file.py:function``, relative to ``base``; None if ``text`` does not name Python code.

    Raises ``ModelError`` if the file is missing.
    """
    file, colon, function = text.rpartition(":")
    if not colon or not file.endswith(".py") or not function.isidentifier():
        return None
    path = (base / file).resolve()
    if not path.is_file():
        raise ModelError("the Python file does not exist", where=str(path), fix="the path is relative to the recipe")
    return CodeReference(path, function)


def own_line(error: BaseException) -> str | None:
    """Return ``file:line`` of the innermost frame that belongs neither to mlopt nor to Python or a package.

    Of a file that does not parse there is no frame: then it is the line that Python stumbled over.
    """
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return f"{error.filename}:{error.lineno}"
    return own_frame(traceback.extract_tb(error.__traceback__))


def own_frame(frames: traceback.StackSummary) -> str | None:
    """Return ``file:line`` of the innermost frame that belongs neither to mlopt nor to Python or a package.

    What ``torch.compile`` wrote is nobody's own.
    """
    generated = os.environ.get(GENERATED)
    for frame in reversed(frames):
        file = Path(frame.filename)
        written = generated is not None and file.is_relative_to(generated)
        if file.is_file() and not is_installed(file) and not written:
            return f"{file}:{frame.lineno}"
    return None


def with_traceback(error: MloptError, cause: BaseException) -> MloptError:
    """Note the traceback of ``cause`` in ``error``: it goes along between processes, and ``mlopt -v`` shows it."""
    error.add_note("".join(traceback.format_exception(cause)).rstrip())
    return error


def seeded() -> None:
    """Let Python's random numbers, NumPy's and PyTorch's begin anew, so that code that draws some can be repeated."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


def globals_of(path: Path) -> Callable[[], None]:
    """Return a function that puts the globals of a recipe's Python back to what they are now.

    Code keeps things there from call to call: a table for the last shape, a dictionary of them, a cached function.
    """
    files = {str(file) for file in local_files(path)}
    modules = [vars(module) for module in list(sys.modules.values()) if getattr(module, "__file__", None) in files]
    before = [(live, {name: value for name, value in live.items() if not name.startswith("__")}) for live in modules]
    contents = [
        (value, copy.copy(value))
        for _, values in before
        for value in values.values()
        if type(value) in {dict, list, set}
    ]

    def restore() -> None:
        for live, values in before:
            for name in [name for name in live if name not in values and not name.startswith("__")]:
                del live[name]
            live.update(values)
            for value in values.values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()
        for live, content in contents:
            live.clear()
            (live.extend if isinstance(live, list) else live.update)(content)

    return restore


def local_files(path: Path) -> list[Path]:
    """Return ``path`` and every file that it imports, directly or not, in a stable order; installed packages excepted.

    A name is looked for beside the importing file and beside ``path``, then wherever this Python finds it.
    """
    found: dict[Path, None] = {}
    waiting = [path]
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found[file] = None
        for name in _imported(file) if file.suffix == ".py" else ():
            beside = [*_modules(file.parent, name), *_modules(path.parent, name)]
            waiting.extend(beside or _elsewhere(name))
    return [path, *sorted(file for file in found if file != path)]


def _modules(folder: Path, name: str) -> list[Path]:
    """The files of a module or a package in a folder."""
    module, package = folder / f"{name}.py", folder / name
    try:
        return [*([module] if module.is_file() else []), *(package.rglob("*.py") if package.is_dir() else [])]
    except OSError:  # a name that is too long for a file
        return []


def _elsewhere(name: str) -> list[Path]:
    """The files of a module that is found elsewhere but not installed: on ``PYTHONPATH``, or installed to edit."""
    if name in sys.stdlib_module_names:
        return []
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, OSError, ValueError):  # ValueError: a module that was made and not imported
        return []
    if spec is None or spec.origin is None or spec.origin.endswith(".pyc") or is_installed(Path(spec.origin)):
        return []
    origin = Path(spec.origin)
    return sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]


def distributions(path: Path) -> tuple[str, ...]:
    """Return the installed distributions that ``path`` and its local modules import: their versions count too."""
    names = set().union(*(_imported(file) for file in local_files(path))) - sys.stdlib_module_names
    direct = {name for name in names if version(name) is not None}
    known = _distributions_by_module() if names - direct else {}  # slow, so only for modules named otherwise
    return tuple(sorted(direct | {found for name in names - direct for found in known.get(name, ())}))


@cache
def _distributions_by_module() -> Mapping[str, list[str]]:
    return packages_distributions()


def _read(path: Path) -> dict[str, bytes]:
    """Return the content of ``local_files``, by path."""
    return {str(file): file.read_bytes() for file in local_files(path)}


def _as_one(digests: Mapping[str, str]) -> str:
    lines = "".join(f"{digest}  {name}\n" for name, digest in digests.items())
    return hashlib.sha256(lines.encode()).hexdigest()


def _forget(paths: Iterable[str]) -> None:
    """Drop the modules of these files, so that a changed one is read again in a process that lives long."""
    files = set(paths)
    for name in [name for name, module in sys.modules.items() if getattr(module, "__file__", None) in files]:
        del sys.modules[name]


def _imported(file: Path) -> set[str]:
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # the last two: it is nested too deeply
        line = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        got = error.msg if isinstance(error, SyntaxError) else str(error) or "it is nested too deeply"
        raise ModelError("the Python file does not parse", where=f"{file}{line}", got=got) from error
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
            names.update(alias.name for alias in node.names if node.level and not node.module)
    return names - {""}
