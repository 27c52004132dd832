"""The recipe that a point is, as a text to keep: it stands beside the recipe that was tuned, whose paths it has."""

from __future__ import annotations

import os
from pathlib import Path

from mlopt.recipe import overrides as overriding
from mlopt.recipe.load import Loaded
from mlopt.recipe.yaml_reader import read_text
from mlopt.recipe.yaml_writer import dump
from mlopt.run.request import Request
from mlopt.tune.space import Point, Space

_HEADER = """\
# Found by `mlopt tune`. Its paths start from {base}: there, `mlopt optimize {name}` runs it.
"""


def recipe_text(request: Request, loaded: Loaded, space: Space, point: Point | None, path: Path | None = None) -> str:
    """Return the recipe with everything as a point says, or without one as it was tuned.

    ``path`` is where it is to stand, in the folder of the recipe, or for a bare model anywhere.
    """
    at = path or loaded.base / f"{loaded.recipe.name}-tuned.yaml"
    text = loaded.draft(at) if loaded.draft is not None else loaded.text
    overrides = request.overrides if point is None else (*request.overrides, *space.overrides(point))
    document = overriding.apply(read_text(text, str(at)), overrides)
    base = at.parent if loaded.draft is not None else loaded.base
    return _HEADER.format(base=os.path.relpath(base), name=at.name) + dump(document.data)
