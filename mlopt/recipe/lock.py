"""``recipe.lock.yaml``: the recipe with nothing left to chance, and what it was made from and with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from mlopt.formats.model import digest_file
from mlopt.recipe.origin import Origin
from mlopt.recipe.schema import Recipe, Step
from mlopt.recipe.yaml_writer import dump

_HEADER = """\
# The recipe as it was run: every default written out. `lock` holds the SHA-256 of what was read, and the versions.
# It can be run again as a recipe, put where the original was (its paths are relative).
"""

_STAND_IN = re.compile(r"(.+) \((.+)\)")
_RECORD = re.compile(r"[^/]+/RECORD")
"""How it lists itself."""


def records(packages: Mapping[str, str]) -> dict[str, str]:
    """Return the SHA-256 of the file ``RECORD`` of each installed distribution; ``packages`` are versions by name.

    Installers differ in what they write there (compiled files, paths of scripts), so two machines may too.
    """
    found = {name: _record(installed(name, version)[0]) for name, version in packages.items()}
    return {name: digest for name, digest in found.items() if digest is not None}


def installed(name: str, version: str) -> tuple[str, str]:
    """Return a package's distribution and version, as ``core.packages`` says where another one stands in for it."""
    stand_in = _STAND_IN.fullmatch(version)
    return (stand_in[2], stand_in[1]) if stand_in else (name, version)


def lock(recipe: Recipe, origin: Origin) -> str:
    """Return the lock file's text."""
    section = origin.model_dump(mode="json")
    ordered = {key: dict(sorted(value.items())) if isinstance(value, dict) else value for key, value in section.items()}
    return _HEADER + dump({**resolved(recipe), "lock": ordered})


def resolved(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe as plain data in the form of its YAML, every default included."""
    data = recipe.model_dump(mode="json", by_alias=True)
    data["passes"] = [_step(step) for step in recipe.passes]
    return data


def _step(step: Step) -> dict[str, Any]:
    return {step.name: {**step.config.model_dump(mode="json", by_alias=True), "optional": step.optional}}


def _record(distribution: str) -> str | None:
    try:
        found = metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return None
    listed = (line.partition(",")[0] for line in (found.read_text("RECORD") or "").splitlines())
    own = next((name for name in listed if _RECORD.fullmatch(name)), None)
    return digest_file(Path(str(found.locate_file(own)))) if own is not None else None
