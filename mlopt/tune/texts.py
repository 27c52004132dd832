"""The recipe that a point is, as a text to keep: it stands beside the recipe that was tuned, whose paths it has."""

from __future__ import annotations

import os

from mlopt.recipe import overrides as overriding
from mlopt.recipe.load import Loaded
from mlopt.recipe.yaml_reader import read_text
from mlopt.recipe.yaml_writer import dump
from mlopt.run.request import Request
from mlopt.tune.space import Point, Space

_HEADER = """\
# Found by `mlopt tune`. Its paths start from {base}: put it there, and run it with `mlopt optimize`.
"""


def recipe_text(request: Request, loaded: Loaded, space: Space, point: Point | None) -> str:
    """Return the recipe with everything as a point says, or without one as it was tuned.

    It is to stand where that recipe does, or where the one that is made for a bare model would.
    """
    at = loaded.base / f"{loaded.recipe.name}-tuned.yaml"
    text = loaded.draft(at) if loaded.draft is not None else loaded.text
    overrides = request.overrides if point is None else (*request.overrides, *space.overrides(point))
    document = overriding.apply(read_text(text, str(at)), overrides)
    return _HEADER.format(base=os.path.relpath(loaded.base)) + dump(document.data)
