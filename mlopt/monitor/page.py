"""What ``mlopt monitor`` found, as Markdown and as a page of its own, which needs no network and no script."""

from __future__ import annotations

from collections.abc import Iterator

from mlopt.core.foreign_text import as_shown, plain
from mlopt.monitor.judge import Monitored, MonitorFinding
from mlopt.report import markdown
from mlopt.report.svg import PALETTE

COLUMNS = ("verdict", "what", "of", "found", "by chance up to", "")
ROLES = {"pass": "good", "fail": "bad", "inconclusive": "warn"}
_ROWS = 200
"""Findings that a page shows: what is wrong comes first."""


def headline(found: Monitored) -> str:
    """Return the result in one sentence."""
    wrong = sum(one.verdict == "fail" for one in found.findings)
    rows = f"{found.live_rows:,} live rows against {found.reference_rows:,}"
    if found.verdict == "pass":
        return f"Nothing has changed that {rows} could show"
    if found.verdict == "fail":
        return f"{wrong} of {len(found.findings)} figures are further off than chance explains, {rows}"
    return f"Not to be decided: {rows}"


def cells(one: MonitorFinding) -> tuple[str, ...]:
    """Return a row of the table: a text for each of ``COLUMNS``."""
    part = f", {plain(one.part)}" if one.part else ""
    found = f"{one.value:.4f}" if one.what in ("shift", "psi") else f"{one.value:.3%}"
    limit = "" if one.limit is None else f"{one.limit:.4f}"
    return one.verdict, one.what, f"{one.side} {plain(one.tensor)}{part}", found, limit, plain(one.message)


def render_markdown(name: str, digest: str, found: Monitored) -> str:
    """Return the findings as GitHub-flavoured Markdown."""
    return "\n".join(_lines(name, digest, found)) + "\n"


def _lines(name: str, digest: str, found: Monitored) -> Iterator[str]:
    yield f"# {markdown.text(name)}: {found.verdict.upper()}"
    yield ""
    yield f"{headline(found)}. Artifact {markdown.code(digest)}."
    yield ""
    yield f"| {' | '.join(COLUMNS)} |"
    yield "|---|---|---|---:|---:|---|"
    for one in found.findings[:_ROWS]:
        yield f"| {' | '.join(map(markdown.text, cells(one)))} |"
    yield ""
    yield from (f"- {markdown.text(note)}" for note in (*_left(found), *found.notes))


def _left(found: Monitored) -> Iterator[str]:
    more = len(found.findings) - _ROWS
    if more > 0:
        yield f"{more} more findings are in the JSON document alone"


def render(name: str, digest: str, found: Monitored) -> str:
    """Return the page."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mlopt.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, finalize=as_shown,
    )  # fmt: skip
    environment.filters["plain"] = plain
    return environment.get_template("monitor.html.j2").render(
        name=name, digest=digest, found=found, headline=headline(found), columns=COLUMNS, palette=PALETTE,
        role=ROLES[found.verdict], rows=[(cells(one), ROLES[one.verdict]) for one in found.findings[:_ROWS]],
        notes=[*_left(found), *found.notes],
    )  # fmt: skip
