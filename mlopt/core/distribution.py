"""mlopt as an installed distribution: what it is called, what it requires, and how this copy of it came here (PEP 610).

On the public index the name ``mlopt`` belongs to another project, so the distribution is called ``mlopt-cli``; no index
is said to have it. What is imported, and the command, are ``mlopt``.
"""

from __future__ import annotations

import json
import re
import shlex
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

DISTRIBUTION = "mlopt-cli"
_PACKAGE = Path(__file__).parents[1]


@cache
def origin() -> str | None:
    """Return what an installer is given for this copy, with ``{extra}`` for the extras; None if nobody noted it.

    It is a checkout, a folder, an archive or a repository that can be reached as it could when it was installed.
    """
    noted = _noted()
    if noted is not None:
        return _requirement(noted)
    root = _PACKAGE.parent
    return f"-e {_word(f'{root}[{{extra}}]')}" if _is_checkout(root) else None


def requirements() -> tuple[str, ...]:
    """Return what mlopt requires, as its own metadata say it; nothing if it is run without being installed."""
    try:
        return tuple(metadata.requires(DISTRIBUTION) or ())
    except metadata.PackageNotFoundError:
        return ()


def brought_by(extra: str, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of mlopt's requirements that an extra adds, extras that it names among them written out."""
    from packaging.requirements import Requirement

    found: dict[str, None] = {}
    for requirement in map(Requirement, wanted):
        marker = requirement.marker
        if marker is None or not marker.evaluate({"extra": extra}) or marker.evaluate({"extra": ""}):
            continue
        if requirement.name == DISTRIBUTION:
            found |= dict.fromkeys(line for each in sorted(requirement.extras) for line in brought_by(each, wanted))
        else:
            found[f"{requirement.name}{requirement.specifier}"] = None
    return tuple(found)


def namesake() -> str | None:
    """Return the version of what is installed under the name ``mlopt``: another project, or this one's earlier name."""
    try:
        return metadata.version("mlopt")
    except metadata.PackageNotFoundError:
        return None


def _noted() -> dict[str, Any] | None:
    """Return what the installer noted of the copy that runs; another copy's notes say nothing about it."""
    try:
        found = metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return None
    noted: dict[str, Any] = json.loads(found.read_text("direct_url.json") or "null") or {}
    editable = noted.get("dir_info", {}).get("editable", False)
    place = _path(noted["url"]) if editable else Path(str(found.locate_file("")))
    return noted if noted and place.resolve() == _PACKAGE.parent else None


def _requirement(noted: dict[str, Any]) -> str | None:
    url = noted["url"]
    if "dir_info" in noted:
        option = "-e " if noted["dir_info"].get("editable") else ""
        return f"{option}{_word(f'{_path(url)}[{{extra}}]')}" if _path(url).is_dir() else None
    if urlsplit(url).scheme == "file" and "archive_info" in noted and not _path(url).exists():
        return None
    vcs = noted.get("vcs_info", {})
    before = f"{vcs['vcs']}+" if vcs else ""
    url = re.sub("^file:///", "file://localhost/", url) if vcs else url  # pip before 25 refuses the first
    after = f"@{vcs['requested_revision']}" if vcs.get("requested_revision") else ""
    folder = f"#subdirectory={noted['subdirectory']}" if noted.get("subdirectory") else ""
    return _word(f"{DISTRIBUTION}[{{extra}}] @ {before}{url}{after}{folder}")


def _path(url: str) -> Path:
    return Path(unquote(urlsplit(url).path))


def _word(text: str) -> str:
    """Return it as one word for a shell, in double quotes where nothing in it means anything there."""
    return f'"{text}"' if not re.search(r'["$`\\!]', text) else shlex.quote(text)


def _is_checkout(folder: Path) -> bool:
    import tomllib

    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(project.get("project", {}).get("name") == DISTRIBUTION)
