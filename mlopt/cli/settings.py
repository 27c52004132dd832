"""``.mlopt.toml``, or ``[tool.mlopt]`` in pyproject.toml: a project's defaults, found from the working folder upwards.

The first file that is found counts alone. Options, variables of the environment and recipes come before it.
"""

from __future__ import annotations

import logging
import os
import stat
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mlopt.core.errors import Problem, UserError

_LOG = logging.getLogger(__name__)
NAME, PROJECT = ".mlopt.toml", "pyproject.toml"
_SECTION = b"tool.mlopt"


@dataclass(frozen=True)
class ProjectSettings:
    """What a project says; paths start from its file. Nothing is said by a field that is None."""

    output: Path | None = None
    """The folder in which artifacts are made, in place of ``artifacts``."""
    key: Path | None = None
    """The private key that signs."""
    cache: Path | None = None
    """In place of ``MLOPT_CACHE``."""
    runtime: str | None = None
    """As ``--runtime``, for recipes that name none."""
    file: Path | None = None


_KEYS = tuple(each.name for each in fields(ProjectSettings) if each.name != "file")


def load(folder: Path | None = None) -> ProjectSettings:
    """Return the settings for work in a folder; raises ``UserError`` with everything that is wrong with them."""
    here = (folder or Path.cwd()).resolve()
    for each in (here, *here.parents):
        for file in (each / NAME, each / PROJECT):
            if (found := _read(file)) is not None:
                return _checked(found, file)
    return ProjectSettings()


def use_cache_of(settings: ProjectSettings) -> None:
    """Let this process, and those that it starts, keep results where the settings say, unless a variable says it."""
    if settings.cache is not None:
        os.environ.setdefault("MLOPT_CACHE", str(settings.cache))


def _read(file: Path) -> dict[str, Any] | None:
    """Return what a file says to mlopt; None if it says nothing."""
    try:
        with file.open("rb") as stream:
            status, text = os.fstat(stream.fileno()), stream.read()
    except OSError:
        return None
    if file.name == PROJECT and _SECTION not in text:
        return None
    if status.st_uid not in {0, os.geteuid()} or status.st_mode & stat.S_IWOTH:
        _LOG.warning("%s is not used: it belongs to another user, or everybody can write to it", file)
        return None
    import tomllib

    try:
        data = tomllib.loads(text.decode())
    except ValueError as error:
        fix = "correct the line that it names; the README shows the keys"
        raise UserError("this is no TOML", where=str(file), got=str(error), fix=fix) from error
    return data if file.name == NAME else data.get("tool", {}).get("mlopt")


def _checked(data: Any, file: Path) -> ProjectSettings:
    from mlopt.recipe.document import closest

    if not isinstance(data, dict):
        fix = f"write keys below it: {', '.join(_KEYS)}"
        raise UserError("the settings are no table", where=str(file), expected="[tool.mlopt]", fix=fix)
    problems = [
        Problem("there is no such setting", f"{file}: {key}", expected=", ".join(_KEYS), fix=closest(key, _KEYS))
        for key in data if key not in _KEYS
    ]  # fmt: skip
    problems += [
        Problem("the setting is no text", f"{file}: {key}", got=repr(data[key]), expected=f'{key} = "..."')
        for key in _KEYS if key in data and not (isinstance(data[key], str) and data[key])
    ]  # fmt: skip
    if problems:
        raise UserError.of(problems)
    paths: dict[str, Any] = {
        key: file.parent / Path(data[key]).expanduser() for key in ("output", "key", "cache") if key in data
    }
    return ProjectSettings(**paths, runtime=data.get("runtime"), file=file)
