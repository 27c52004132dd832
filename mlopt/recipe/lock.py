"""``recipe.lock.yaml``: the recipe with nothing left to chance, and what it was made from and with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlopt import __version__
from mlopt.recipe.load import Loaded
from mlopt.recipe.schema import Recipe, Step
from mlopt.recipe.yaml_writer import dump

_HEADER = """\
# The recipe as it was run: every default written out. `lock` holds the SHA-256 of what was read, and the versions.
# It can be run again as a recipe, put where the original was (its paths are relative).
"""


def lock(loaded: Loaded, digests: Mapping[str, str], packages: Mapping[str, str]) -> str:
    """Return the lock file's text.

    ``digests`` are the SHA-256 of the sources (models, data, Python files) by the key that names them, such as
    ``model.source``; ``packages`` the versions of the libraries that took part, by distribution name.
    """
    made_with = {
        "mlopt": __version__,
        "recipe": loaded.text_digest,
        "sources": dict(sorted(digests.items())),
        "packages": dict(sorted(packages.items())),
    }
    return _HEADER + dump({**resolved(loaded.recipe), "lock": made_with})


def resolved(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe as plain data in the form of its YAML, every default included."""
    data = recipe.model_dump(mode="json", by_alias=True)
    data["passes"] = [_step(step) for step in recipe.passes]
    return data


def _step(step: Step) -> dict[str, Any]:
    return {step.name: {**step.config.model_dump(mode="json", by_alias=True), "optional": step.optional}}
