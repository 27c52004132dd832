"""What claims are derived from: files of the artifact that are under its signature, and nothing else.

So a claim says nothing that the artifact does not show, and can be made again by anybody who has it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mlopt.artifact.files import first_problem, parse_json, read_capped, reading, shown
from mlopt.artifact.layout import MAX_REPORT_BYTES, Manifest, Role, check_manifest, read_manifest
from mlopt.artifact.sign import Digests
from mlopt.core.errors import IntegrityError, RecipeError
from mlopt.recipe.origin import Origin
from mlopt.recipe.yaml_reader import MAX_BYTES, read_text
from mlopt.results.report import Report

FILE = "file "
"""What the key of a Python file of the recipe begins with in ``Origin.sources``; its name follows."""


@dataclass(frozen=True)
class Facts:
    """The manifest, the report and the recipe of one artifact."""

    manifest: Manifest
    report: Report
    recipe: Mapping[str, Any]
    """As it was run: ``recipe.lock.yaml`` without its section ``lock``."""
    origin: Origin
    digests: Digests

    def file(self, role: Role) -> dict[str, Any]:
        """Return the first file of a role as an in-toto resource descriptor."""
        return self.resource(self.manifest.file_of(role))

    def resource(self, name: str) -> dict[str, Any]:
        """Return a file as an in-toto resource descriptor."""
        return {"name": name, "digest": {"sha256": self.digests.files[name]}}


def read(directory: Path, digests: Digests) -> Facts | None:
    """Read the facts from files with these digests; None if no recipe is among them: nothing says how it was made.

    Checks no signature. Raises ``IntegrityError`` when a file has another digest, is malformed or not in the manifest.
    """

    def held(folder: Path, name: str, limit: int) -> bytes:
        data = read_capped(folder, name, limit)
        if hashlib.sha256(data).hexdigest() != digests.files.get(name):
            raise IntegrityError("the file was changed while it was read", where=str(folder / name), fix="try again")
        return data

    with reading(directory):
        manifest = read_manifest(directory, held)
        check_manifest(directory, manifest, set(digests.files), held)
        if Role.RECIPE not in manifest.files.values():
            return None
        name, report = manifest.file_of(Role.RECIPE), manifest.file_of(Role.REPORT)
        recipe, origin = _recipe(held(directory, name, MAX_BYTES), str(directory / name))
        evidence = _report(held(directory, report, MAX_REPORT_BYTES), str(directory / report))
    return Facts(manifest, evidence, recipe, origin, digests)


def _report(data: bytes, where: str) -> Report:
    parse_json(data, where)
    try:
        return Report.model_validate_json(data, strict=True)
    except ValidationError as error:
        raise IntegrityError("the report is malformed", where=where, got=first_problem(error)) from error


def _recipe(data: bytes, where: str) -> tuple[dict[str, Any], Origin]:
    try:
        recipe = read_text(data, where).data
        if not isinstance(recipe, dict) or not all(isinstance(recipe.get(key), dict) for key in ("model", "metric")):
            raise IntegrityError("the recipe is malformed", where=where, expected="a mapping with a model and a metric")
        return recipe, Origin.model_validate(recipe.pop("lock", None))
    except RecipeError as error:
        raise IntegrityError("the recipe is malformed", where=where, got=shown(error.problems[0].what)) from error
    except ValidationError as error:
        raise IntegrityError(
            "the recipe's section `lock` is malformed", where=where, got=first_problem(error)
        ) from error
