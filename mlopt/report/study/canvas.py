"""What both pictures of a study share: points in units, a key above them, and words that a pointer brings up.

The words are ``<title>`` elements of SVG on circles that nobody sees, so they need no script.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from mlopt.core.foreign_text import visible
from mlopt.report import facts
from mlopt.report.svg import WIDTH, Margins, colour, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KEY = 19.0
"""Height of one line of the key."""
_COLUMNS = 3
_REACH = 7.0


@dataclass(frozen=True)
class KeyEntry:
    """A marker, and what it stands for."""

    name: str
    marker: str
    role: str
    hollow: bool = False


@dataclass(frozen=True)
class HoverSpot:
    """A place in units from the drawing's upper left corner, and the lines that a pointer brings up there."""

    x: float
    y: float
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Plane:
    """Draws in units from the upper left corner of the axes."""

    axes: Axes
    margins: Margins

    def plot(self, corners: Sequence[tuple[float, float]], marker: str = "", **style: Any) -> None:
        """Plot a line, or markers, through what is given in units."""
        xs, ys = [x / self.margins.inner for x, _ in corners], [y for _, y in corners]
        self.axes.plot(xs, ys, marker=marker, transform=self.axes.get_yaxis_transform(), clip_on=False, **style)

    def mark(self, at: tuple[float, float], entry: KeyEntry, size: float, z: float = 4) -> None:
        """Draw one marker, filled or hollow; crosses have no inside."""
        face = "paper" if entry.hollow else entry.role
        style = {"markerfacecolor": colour(face), "markeredgecolor": colour(entry.role), "markeredgewidth": 1.3}
        self.plot([at], entry.marker, markersize=size, zorder=z, **style)

    def text(self, text: str, x: float, y: float, **how: Any) -> None:
        """Write text whose middle is at height ``y``."""
        write(self.axes, text, x / self.margins.inner, y, **how)

    def key(self, entries: Sequence[KeyEntry]) -> None:
        """Write the key above the drawing, over the whole width of the picture."""
        for place, entry in enumerate(entries):
            x = place % _COLUMNS / _COLUMNS * (WIDTH - 12) - (self.margins.left - 10)
            y = place // _COLUMNS * KEY + KEY / 2 - 3
            self.mark((x, y), entry, 7)
            self.text(facts.shorten(entry.name, 15), x, y, dx=9)


def key_height(entries: Sequence[KeyEntry]) -> float:
    """Return how high the key of so many entries is."""
    return KEY * -(-len(entries) // _COLUMNS)


def hovered(svg: str, spots: Sequence[HoverSpot], margins: Margins) -> str:
    """Return the picture with the words of ``spots`` in it, of which the last lie on top."""
    circles = []
    for spot in spots:
        place = {"cx": f"{margins.left + spot.x:.2f}", "cy": f"{margins.top + spot.y:.2f}", "r": f"{_REACH:g}"}
        circle = ET.Element("circle", place | {"fill": "none", "pointer-events": "all"})
        ET.SubElement(circle, "title").text = "\n".join(visible(line) for line in spot.lines)
        circles.append(ET.tostring(circle, encoding="unicode"))
    body, end, rest = svg.rpartition("</svg>")
    return f"{body}{''.join(circles)}{end}{rest}"
