"""A small canvas on matplotlib whose SVG takes its colours and fonts from the page around it.

Matplotlib writes fixed colours. Here every colour is a role, drawn in its light value and then replaced by the CSS
variable of that role, so one picture serves light, dark and print. Nothing in the SVG depends on the time, on random
ids, or on fonts of the machine that drew it.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from xml.etree import ElementTree as ET

from mlopt.core.foreign_text import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 360.0
"""Width of every picture in its own units; on a phone, a unit is about one CSS pixel."""
TEXT = 11.5
"""Font size in the same units."""
HEAD = 22.0
"""Height of the line of text that heads a row; the drawing stands below it."""

PALETTE = {
    "paper": ("#fcfbf9", "#15171b"),
    "ink": ("#1d1c1a", "#eae7e1"),
    "muted": ("#6b665f", "#a29d95"),
    "line": ("#dbd6cd", "#363a41"),
    "soft": ("#f2efe9", "#1e2126"),
    "reference": ("#b3aca1", "#666b74"),
    "step": ("#ccd5e8", "#37425c"),
    "final": ("#2653b8", "#84a9ff"),
    "good": ("#197a4c", "#50c790"),
    "good-soft": ("#dcefe3", "#173527"),
    "bad": ("#b93427", "#ff8576"),
    "bad-soft": ("#f9e2de", "#43201d"),
    "warn": ("#8f5a00", "#efb44e"),
    "warn-soft": ("#f8ebcf", "#3c2e12"),
    "hue-a": ("#0b7285", "#4ec5d8"),
    "hue-b": ("#7b3fa6", "#c99bf2"),
    "hue-c": ("#b04a12", "#f3a26b"),
    "hue-d": ("#5d6b16", "#b5c657"),
}
"""Every colour by its role: light, dark. Light values are distinct, since they are how a role is found in the SVG."""

_LOG_FROM = 6.0
_LOG_TO = 1e12
"""An axis is logarithmic if its ends differ by a factor between these; beyond that they are no measurements."""
_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_ROLE_OF = {light: role for role, (light, _) in PALETTE.items()}


@dataclass(frozen=True)
class Margins:
    """Space around the axes, in picture units, for labels."""

    left: float = 6.0
    right: float = 6.0
    top: float = 6.0
    bottom: float = 6.0

    @property
    def inner(self) -> float:
        """The width that they leave to the axes."""
        return WIDTH - self.left - self.right


@dataclass(frozen=True)
class Drawing:
    """One drawn figure and what to know to read it."""

    title: str
    caption: str
    svg: str


@dataclass(frozen=True)
class Scale:
    """An axis from ``low`` to ``high``: logarithmic when the range is wide, else linear."""

    low: float
    high: float
    unit: str = ""
    log: bool = False

    @classmethod
    def over(cls, low: float, high: float, unit: str = "", pad: float = 0.0) -> Scale:
        """Return the scale that shows this range, with ``pad`` of it free at either end."""
        if not high > low:
            low, high = low - (abs(low) * 0.05 or 1), high + (abs(high) * 0.05 or 1)
        if low > 0 and _LOG_FROM < high / low < _LOG_TO:
            room = (high / low) ** pad
            return cls(low / room, high * room, unit, log=True)
        room = pad * (high - low)
        return cls(low - room, high + room, unit)

    def share(self, value: float) -> float:
        """Return where a value lies between the ends: 0 at ``low``, 1 at ``high``."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def show(self, axes: Axes, side: Literal["x", "y"] = "x") -> None:
        """Give that side of ``axes`` this scale, a few round ticks and faint lines from them."""
        from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator

        axis = axes.xaxis if side == "x" else axes.yaxis
        axis.set_visible(True)
        if self.log:
            axes.set(**{f"{side}scale": "log"})
        axes.set(**{f"{side}lim": (self.low, self.high)})
        few_decades = self.log and self.high / self.low < 300
        subs = (1.0, 2.0, 5.0) if few_decades else (1.0,)
        axis.set_major_locator(LogLocator(subs=subs) if self.log else MaxNLocator(5, steps=(1, 2, 5, 10)))
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
        axis.set_major_formatter(lambda value, _position: f"{value:,.10g}{self.unit}")
        axes.set_axisbelow(True)
        axes.grid(axis=side, color=colour("line"), linewidth=0.7)


def colour(role: str) -> str:
    """Return the colour to draw ``role`` with."""
    return PALETTE[role][0]


def draw(
    name: str, title: str, height: float, margins: Margins, paint: Callable[[Axes], None], description: str = ""
) -> str:
    """Return the ``<svg>`` element that ``paint`` draws on axes of ``height`` units, whose y counts units downwards.

    ``name`` makes the ids unique on the page; ``title`` and ``description`` are what a screen reader says.
    """
    from matplotlib import style
    from matplotlib.figure import Figure

    total = height + margins.top + margins.bottom
    settings: dict[str, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "text.parse_math": False,
        "font.size": TEXT,
        "text.color": colour("ink"),
        "xtick.color": colour("muted"),
        "xtick.labelsize": TEXT - 1,
        "ytick.color": colour("muted"),
        "ytick.labelsize": TEXT - 1,
        "path.simplify": False,
    }
    with style.context(["default", settings]), warnings.catch_warnings():
        # The browser draws the text with its own fonts; that matplotlib's font lacks a character does not matter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(WIDTH / 72, total / 72))
        axes = figure.add_axes(
            (
                margins.left / WIDTH,
                margins.bottom / total,
                margins.inner / WIDTH,
                height / total,
            )
        )
        axes.set_ylim(height, 0)
        axes.yaxis.set_visible(False)
        axes.spines[:].set_visible(False)
        axes.tick_params(axis="both", which="both", length=0)
        axes.xaxis.set_visible(False)
        paint(axes)
        buffer = io.StringIO()
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    return _for_the_page(buffer.getvalue(), name, title, description)


def write(
    axes: Axes,
    text: str,
    x: float,
    y: float,
    *,
    across: bool = True,
    dx: float = 0.0,
    align: Literal["left", "center", "right"] = "left",
    role: str = "ink",
    bold: bool = False,
) -> None:
    """Put text at height ``y``; ``x`` is a share of the axes' width (data if not ``across``), moved by ``dx`` units."""
    axes.annotate(
        plain(text),
        (x, y),
        xycoords=axes.get_yaxis_transform() if across else "data",
        xytext=(dx, 0),
        textcoords="offset points",
        ha=align,
        va="center",
        color=colour(role),
        fontweight="bold" if bold else "normal",
        annotation_clip=False,
    )


def head(axes: Axes, top: float, left: str, right: str, role: str = "ink") -> None:
    """Write the line of text above a drawing, ``HEAD`` high, on a strip of paper that covers the grid."""
    axes.axhspan(top, top + HEAD, color=colour("paper"), zorder=1)
    write(axes, left, 0, top + HEAD / 2 + 2, bold=True)
    write(axes, right, 1, top + HEAD / 2 + 2, align="right", role=role, bold=role != "ink")


def _for_the_page(document: str, name: str, title: str, description: str) -> str:
    """Make a part of the page out of a document of its own."""
    ET.register_namespace("", _SVG[1:-1])
    ET.register_namespace("xlink", _HREF[1:-5])
    root = ET.fromstring(document)  # noqa: S314 - matplotlib wrote it a line above
    for key in ("width", "height", "version"):
        del root.attrib[key]
    root.attrib |= {"role": "img", "aria-label": plain(title), "class": "picture"}
    for element in root.iter():
        _restyle(element, name)
    for parent in [*root.iter()]:
        for child in [*parent]:
            if child.tag == f"{_SVG}style":  # it would apply to the whole page
                parent.remove(child)
    if description:
        told = ET.Element(f"{_SVG}desc", {"id": f"{name}-description"})
        told.text = plain(description)
        root.insert(0, told)
        root.set("aria-describedby", f"{name}-description")
    ET.indent(root, space="")
    return ET.tostring(root, encoding="unicode")


def _restyle(element: ET.Element, name: str) -> None:
    """Roles instead of colours, the page's font instead of a list of fonts, ids that no other picture has."""
    style = element.get("style")
    if style is not None:
        style = re.sub(r"font-family: [^;]*;? ?", "", style)
        element.set("style", re.sub(r"#[0-9a-f]{6}", lambda found: _variable(found.group()), style).rstrip("; "))
    if element.get("transform", "").startswith("rotate(-0 "):
        del element.attrib["transform"]
    if "id" in element.attrib:
        if element.tag == f"{_SVG}g":
            del element.attrib["id"]  # a name of matplotlib's that nothing refers to
        else:
            element.set("id", f"{name}-{element.get('id')}")
    if _HREF in element.attrib:
        element.set(_HREF, f"#{name}-{element.attrib[_HREF][1:]}")
    if "clip-path" in element.attrib:
        element.set("clip-path", element.attrib["clip-path"].replace("url(#", f"url(#{name}-"))


def _variable(value: str) -> str:
    return f"var(--{_ROLE_OF[value]}, {value})" if value in _ROLE_OF else value
