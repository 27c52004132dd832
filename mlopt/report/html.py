"""``report.html``: one file that needs no network and no script, for a desk, a phone, the dark and the printer.

Everything in a report is untrusted text: the template escapes it all, and the page forbids itself scripts and loading.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mlopt.core.foreign_text import as_shown, plain
from mlopt.report import (
    facts,
    load,
    merit,
    operators,
    outcome,
    plots,
    precision,
    quality,
    search,
    sensitivity,
    training,
    tried,
    tried_list,
    tried_picture,
    trust,
    waterfall,
)
from mlopt.report.svg import PALETTE, Drawing
from mlopt.results.report import Report

_NOTE_LENGTH = 400
_UNIT = re.compile(r"(?<=\d) (?=(?:%|ms|s|min|pt|B|kB|MB|GB|dB|/s)(?!\w))")


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
    environment.filters |= {"plain": plain, "compact": _compact, "together": _together}
    template = environment.get_template("report.html.j2")
    drawn = {
        section: [(picture, Markup(picture.svg)) for picture in found]  # noqa: S704 - our SVG
        for section, found in pictures(report, samples).items()
    }
    return template.render(
        report=report,
        facts=facts,
        outcome=outcome,
        load=load,
        merit=merit,
        operators=operators,
        precision=precision,
        quality=quality,
        search=search,
        sensitivity=sensitivity,
        training=training,
        tried=tried,
        tried_list=tried_list,
        tried_picture=tried_picture,
        trust=trust,
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
        "gates": (plots.gates(report),),
        "tried": (tried_picture.picture(report, tried_list.rows(report)),),
        "steps": (
            waterfall.latency_steps(report),
            waterfall.size_steps(report),
            waterfall.macs_steps(report),
            waterfall.accuracy_steps(report),
        ),
        "speed": (plots.distributions(report, samples), plots.speedups(report)),
        "sensitivity": sensitivity.pictures(report),
        "training": training.pictures(report),
        "load": load.curves(report),
        "quality": (quality.drop_picture(report),),
        "operators": (operators.picture(report),),
    }
    return {name: tuple(one for one in drawn if one is not None) for name, drawn in sections.items()}


def _compact(value: Any) -> str:
    """Return a config or a note on one line, cut where it would fill the page."""
    return facts.shorten(json.dumps(value, ensure_ascii=False), _NOTE_LENGTH)


def _together(text: str) -> str:
    """Keep a number and its unit on one line."""
    return _UNIT.sub("\u00a0", plain(text))
