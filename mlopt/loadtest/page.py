"""``loadtest.html``: one file that needs no network and no script. All text of a record is untrusted, and escaped."""

from __future__ import annotations

from mlopt.core.foreign_text import as_shown, plain
from mlopt.loadtest import pictures, words
from mlopt.report import html
from mlopt.report.svg import PALETTE
from mlopt.results.serving import LoadTestRecord


def render(record: LoadTestRecord) -> str:
    """Return the page."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("mlopt.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, finalize=as_shown,
    )  # fmt: skip
    environment.filters |= {"plain": plain, "together": html.together, "share": html.share}
    drawn = [one for one in (pictures.over_time(record), pictures.ramp(record)) if one is not None]
    ramp, compared = record.ramp, record.comparison
    return environment.get_template("loadtest.html.j2").render(
        record=record, words=words, palette=PALETTE, latencies=[*words.latencies(record.figures)],
        errors=[*words.errors(record.figures)], gates=[*words.gates(record.gates)], account=[*words.account(record)],
        rates=[] if ramp is None else [*words.ramp(ramp.steps)], reasons=[*words.reasons(record)],
        differences=[] if compared is None else [*words.differences(compared.differences)],
        pictures=[(picture, Markup(picture.svg)) for picture in drawn],  # noqa: S704 - our SVG
    )  # fmt: skip
