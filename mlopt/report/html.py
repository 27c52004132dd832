"""``report.html``: one file that needs no network and no script, for a desk, a phone, the dark and the printer.

Everything in a report is untrusted text: the template escapes it all, and the page forbids itself scripts and loading.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING

from mlopt.core.foreign_text import as_shown, plain
from mlopt.report import (
    advice,
    facts,
    gate_rows,
    load,
    merit,
    operators,
    outcome,
    plots,
    precision,
    quality,
    reproduce,
    search,
    sensitivity,
    spending,
    step_words,
    top,
    training,
    tried,
    tried_list,
    tried_picture,
    trust,
    waterfall,
    words,
)
from mlopt.report.svg import PALETTE, Drawing
from mlopt.results.report import Report

if TYPE_CHECKING:
    from markupsafe import Markup

_UNIT = re.compile(r"(?<=\d) (?=(?:%|ms|s|min|pt|B|kB|MB|GB|dB|/s)(?!\w))")
_SECTION = re.compile(r'<section id="([^"]+)">\s*<h2>(.*?)</h2>')
_FOLDED = re.compile(r'<summary><h2>(.*?)</h2>.*?id="([^"]+)"', re.DOTALL)
_TOLD: tuple[ModuleType, ...] = (
    advice, facts, gate_rows, load, merit, operators, outcome, precision, quality, reproduce, search, sensitivity,
    spending, step_words, top, training, tried, tried_list, tried_picture, trust, waterfall, words,
)  # fmt: skip
"""What the template asks, each by its own name."""


def render(report: Report, samples: Mapping[str, Sequence[float]], recipe: str) -> str:
    """Return the page. ``samples`` are milliseconds by candidate name (none: no picture of their spread).

    ``recipe`` is the text of the recipe that was run; empty if it is not at hand.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("mlopt.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=as_shown,
    )
    environment.filters |= {"plain": plain, "together": together, "share": share, "contents": _contents}
    template = environment.get_template("report.html.j2")
    drawn = {
        section: [(picture, Markup(picture.svg)) for picture in found]  # noqa: S704 - our SVG
        for section, found in pictures(report, samples).items()
    }
    return template.render(
        {module.__name__.rpartition(".")[2]: module for module in _TOLD},
        report=report,
        candidates=facts.models(report),
        pictures=drawn,
        palette=PALETTE,
        recipe=recipe,
    )


def pictures(report: Report, samples: Mapping[str, Sequence[float]]) -> dict[str, tuple[Drawing, ...]]:
    """Return the pictures of each section of the page, leaving out what was not measured.

    ``samples`` are milliseconds by candidate name.
    """
    sections = {
        "tried": (tried_picture.picture(report, tried_list.rows(report)),),
        "speed": (plots.distributions(report, samples), plots.speedups(report)),
        "sensitivity": sensitivity.pictures(report),
        "training": training.pictures(report),
        "load": load.curves(report),
        "quality": (quality.drop_picture(report),),
        "operators": (operators.picture(report),),
    }
    return {name: tuple(one for one in drawn if one is not None) for name, drawn in sections.items()}


def together(text: str) -> str:
    """Keep a number and its unit on one line."""
    return _UNIT.sub("\u00a0", plain(text))


def share(value: float) -> str:
    """Return a share of one as a length of CSS."""
    return f"{100 * value:.4g}%"


def _contents(body: Markup) -> list[tuple[Markup, Markup]]:
    """Return id and title of each part of the page, the folded ones after those that are not."""
    from markupsafe import Markup

    open_, folded = _SECTION.findall(body), [(id_, title) for title, id_ in _FOLDED.findall(body)]
    return [(Markup(id_), Markup(title)) for id_, title in (*open_, *folded)]  # noqa: S704 - escaped in the body
