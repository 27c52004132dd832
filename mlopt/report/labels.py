"""Where the labels of points go so that no label lies on another, or on a point: the nearest free place around each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""

_LETTER, _BOLD, _LINE = 7.0, 8.2, 12.0
"""How wide a letter and how high a line may be, in picture units; fonts differ."""
_GAP = 2.0
_RINGS = (0.0, 8.0, 17.0, 28.0)
"""How much further out it is looked, each time that nothing is free."""
_AROUND = 12


@dataclass(frozen=True)
class Spot:
    """A point with its label, which may be bold; ``radius`` is how far its marker reaches."""

    x: float
    y: float
    text: str
    radius: float
    bold: bool = False


@dataclass(frozen=True)
class Label:
    """Where the middle of a label goes; ``far`` if a line should lead to its point."""

    spot: Spot
    x: float
    y: float
    far: bool

    @property
    def edge(self) -> tuple[float, float]:
        """Where a line from the point meets the label."""
        dx, dy = self.spot.x - self.x, self.spot.y - self.y
        wide, high = _width(self.spot) / 2, _LINE / 2
        share = min(1.0, *(side / abs(way) for side, way in ((wide, dx), (high, dy)) if way))
        return self.x + share * dx, self.y + share * dy


def placed(spots: Sequence[Spot], inside: Box, avoid: Sequence[Box] = ()) -> tuple[Label, ...]:
    """Return the labels, first come first served; one that finds no room inside the box is left out."""
    taken = [*avoid, *(_around(spot.x, spot.y, spot.radius, spot.radius) for spot in spots)]
    found = []
    for spot in spots:
        label = next((each for each in _places(spot) if _free(_box(each), taken, inside)), None)
        if label is not None:
            taken.append(_box(label))
            found.append(label)
    return tuple(found)


def _places(spot: Spot) -> Iterator[Label]:
    """Yield places on rings around the point, the nearest first, beginning at its right."""
    for ring in _RINGS:
        for step in range(_AROUND):
            angle = 2 * math.pi * step / _AROUND
            wide, high = _width(spot) / 2 + spot.radius + _GAP + ring, _LINE / 2 + spot.radius + _GAP + ring
            yield Label(spot, spot.x + wide * math.cos(angle), spot.y - high * math.sin(angle), ring > 0)


def _free(box: Box, taken: Sequence[Box], inside: Box) -> bool:
    if box[0] < inside[0] or box[1] < inside[1] or box[2] > inside[2] or box[3] > inside[3]:
        return False
    return all(box[2] <= other[0] or other[2] <= box[0] or box[3] <= other[1] or other[3] <= box[1] for other in taken)


def _box(label: Label) -> Box:
    return _around(label.x, label.y, _width(label.spot) / 2, _LINE / 2)


def _around(x: float, y: float, wide: float, high: float) -> Box:
    return x - wide, y - high, x + wide, y + high


def _width(spot: Spot) -> float:
    return (_BOLD if spot.bold else _LETTER) * len(spot.text)
