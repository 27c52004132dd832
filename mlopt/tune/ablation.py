"""What each step of the best chain is worth: the same chain without it, tried once the search has come to an end."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import JsonValue

from mlopt.tune.space import Point, Space

ORIGIN = "ablation"


def without(space: Space, best: Point) -> Iterator[dict[str, JsonValue]]:
    """Yield the best point without each of the steps that may go, where that is a recipe that could work."""
    for slot in space.slots:
        if slot.free and best.get(slot.name):
            point = space.completed({**best, slot.name: False})
            if space.problem(point) is None:
                yield point
