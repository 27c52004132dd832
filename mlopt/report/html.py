"""``report.html``: one file that needs no network and no script, for a desk, a phone, the dark and the printer.

Everything in a report is untrusted text: the template escapes it all, and the page forbids itself scripts and loading.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mlopt.report import facts, plots
from mlopt.report.schema import Report
from mlopt.report.svg import PALETTE

_NOTE_LENGTH = 400
_UNIT = re.compile(r"(?<=\d) (?=(?:%|ms|pt|B|kB|MB|GB|dB|/s)(?!\w))")


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
    )
    environment.filters |= {"plain": facts.plain, "compact": _compact, "together": _together}
    template = environment.get_template("report.html.j2")
    pictures = [(picture, Markup(picture.svg)) for picture in plots.pictures(report, samples)]  # noqa: S704 - our SVG
    return template.render(
        report=report,
        facts=facts,
        candidates=(*report.references.values(), report.final),
        pictures=pictures,
        palette=PALETTE,
        role=plots.VERDICT_ROLE,
        recipe=recipe,
    )


def _compact(value: Any) -> str:
    """Return a config or a note on one line, cut where it would fill the page."""
    return facts.shorten(json.dumps(value, ensure_ascii=False), _NOTE_LENGTH)


def _together(text: str) -> str:
    """Keep a number and its unit on one line."""
    return _UNIT.sub("\u00a0", facts.plain(text))
