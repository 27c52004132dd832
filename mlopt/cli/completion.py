"""What a shell completes: names of passes and runtimes, metrics of gates, and the keys that ``--set`` changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def passes(incomplete: str) -> list[tuple[str, str]]:
    """Return the passes whose names begin so, each with what it does."""
    from mlopt.passes.table import table

    return [(name, one.summary) for name, one in table().items() if name.startswith(incomplete)]


def runtimes(incomplete: str) -> list[str]:
    """Return the runtimes that may stand here, after others and a comma, too."""
    from mlopt.core.target import AUTO
    from mlopt.runtimes.table import table

    before, comma, begun = incomplete.rpartition(",")
    taken = before.split(",")
    return [
        f"{before}{comma}{name}" for name in (*table(), AUTO)
        if name.startswith(begun) and name not in taken and not (comma and name == AUTO)
    ]  # fmt: skip


def limits(incomplete: str) -> list[str]:
    """Return the metrics that a gate may limit."""
    from mlopt.gate.vocabulary import METRICS

    return _beginning(METRICS, incomplete)


def keys(incomplete: str) -> list[str]:
    """Return the keys of a recipe, and of every pass, up to the ``=``."""
    from mlopt.passes.table import table
    from mlopt.recipe.schema import Recipe

    of_passes = (
        f"passes.{name}.{key}=" for name, one in table().items() for key in (*_aliases(one.config), "optional")
    )
    return _beginning((*_keys(Recipe), *of_passes), incomplete)


def _keys(model: Any) -> Iterator[str]:
    for name, field in zip(_aliases(model), model.model_fields.values(), strict=True):
        inner = getattr(field.annotation, "model_fields", None)
        yield from (f"{name}.{key}=" for key in _aliases(field.annotation)) if inner else [f"{name}="]


def _aliases(model: Any) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _beginning(words: Iterable[str], incomplete: str) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
