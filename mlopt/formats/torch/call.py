"""How a recipe's inputs become the arguments of ``forward()``: by name where the names say so, else by position.

Names that only half agree are an error: by position, a mask could end up as the text, and nothing would fail.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from inspect import Parameter
from typing import TYPE_CHECKING

from mlopt.core.errors import ModelError

if TYPE_CHECKING:
    import torch

_BY_PLACE = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
_ANY = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


def bind(module: torch.nn.Module, names: Sequence[str], where: str) -> tuple[int, tuple[str, ...]]:
    """Return how many of the inputs go by position, and the names of the others; raises ``ModelError``."""
    try:
        signature = inspect.signature(module.forward)
    except (TypeError, ValueError):  # some scripted modules have no signature
        return len(names), ()
    parameters = list(signature.parameters.values())
    by_place = [p for p in parameters if p.kind in _BY_PLACE]
    by_name = {p.name for p in parameters if p.kind in _BY_NAME}
    any_place, any_name = (any(p.kind is kind for p in parameters) for kind in _ANY)
    known = {p.name for p in parameters if p.kind in (*_BY_PLACE, Parameter.KEYWORD_ONLY)}
    matched = [name for name in names if name in known]
    if hasattr(module, "graph") and list(names) == [p.name for p in by_place] and len(known) == len(names):
        return len(names), ()  # what torch.export made takes by position what it was given by position
    required = [p.name for p in parameters if p.kind in (*_BY_PLACE, Parameter.KEYWORD_ONLY) and p.default is p.empty]
    if set(names) <= by_name or (any_name and set(matched) <= by_name and (matched or not (by_place or any_place))):
        lacking = [name for name in required if name not in names]
        if lacking:
            raise _misfit(signature, names, where, f"forward() also needs '{lacking[0]}'")
        return 0, tuple(names)
    places = [p.name for p in by_place]
    if any(name not in places or places.index(name) != list(names).index(name) for name in matched):
        stray = next(name for name in names if name not in known) if set(names) - known else None
        what = f"forward() has no argument '{stray}'" if stray else "the order of the inputs is not forward()'s"
        raise _misfit(signature, names, where, what)
    if len(names) > len(places) and not any_place:
        raise _misfit(signature, names, where, f"forward() takes {len(places)} inputs, and {len(names)} are declared")
    lacking = [name for name in required if name not in places[: len(names)]]
    if lacking:
        raise _misfit(signature, names, where, f"forward() also needs '{lacking[0]}'")
    return len(names), ()


def _misfit(signature: inspect.Signature, names: Sequence[str], where: str, what: str) -> ModelError:
    return ModelError(
        what, where=f"{where}: model.inputs", got=", ".join(names),
        expected=f"forward{signature}",
        fix="declare in model.inputs what forward() takes, under its names",
    )  # fmt: skip
