"""Every pass that mlopt knows: its own, in this table, and those that other packages bring.

Another package adds passes through the entry-point group ``mlopt.passes``; each entry point names a ``Pass``. Two
passes of one name are an error, whoever brings them.
"""

from __future__ import annotations

import pickle
from importlib.metadata import entry_points
from typing import Any

from mlopt.errors import RecipeError
from mlopt.passes import bf16, export, fp16, fuse, neural_compressor, quantize, simplify
from mlopt.passes.base import Pass

BUILTIN: tuple[Pass[Any], ...] = (
    export.PASS,
    neural_compressor.PASS,
    simplify.PASS,
    quantize.PASS,
    fp16.PASS,
    bf16.PASS,
    fuse.PASS,
)


def table() -> dict[str, Pass[Any]]:
    """Return all passes by name; raises ``RecipeError`` for two of one name or a plug-in that does not load."""
    found = {pass_.name: pass_ for pass_ in BUILTIN}
    origin = dict.fromkeys(found, "mlopt")
    for point in entry_points(group="mlopt.passes"):
        brought_by = f"{point.dist.name if point.dist else 'an unknown package'} ({point.value})"
        try:
            pass_ = point.load()
        except (ImportError, AttributeError) as error:
            raise RecipeError(
                f"the pass '{point.name}' cannot be loaded", where=brought_by, got=str(error),
                fix=f"repair or uninstall {point.dist.name if point.dist else 'that package'}",
            ) from error  # fmt: skip
        if not isinstance(pass_, Pass):
            raise RecipeError(
                f"the entry point '{point.name}' is not a pass", where=brought_by,
                got=type(pass_).__name__, expected="a mlopt.passes.base.Pass",
            )  # fmt: skip
        try:
            pickle.dumps(pass_)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise RecipeError(
                f"the pass '{point.name}' cannot be handed to its worker", where=brought_by, got=str(error),
                expected="functions and a config that stand at the top of a module, no lambda among them",
            ) from error  # fmt: skip
        if pass_.name in found:
            raise RecipeError(
                f"two passes are called '{pass_.name}'", where=f"{origin[pass_.name]} and {brought_by}",
                fix="uninstall one of the two packages",
            )  # fmt: skip
        found[pass_.name], origin[pass_.name] = pass_, brought_by
    return found
