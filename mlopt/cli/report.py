"""``mlopt report``: show a report again, or write it as HTML, Markdown, JSON or a card to share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mlopt.results.report import Report


class ReportFormat(StrEnum):
    """What a report can be written as."""

    HTML = "html"
    MD = "md"
    SVG = "svg"
    JSON = "json"


def report(
    source: Annotated[
        Path, typer.Argument(metavar="ARTIFACT_OR_REPORT_JSON", help="an artifact, its report.json, or a study")
    ],
    format_: Annotated[
        ReportFormat | None, typer.Option("--format", "-f", help="by default the ending of -o; a summary without -o")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="the file to write instead of standard output")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="the same as --format json")] = False,
    open_: Annotated[bool, typer.Option("--open", help="show the page in a browser: -o, or the artifact's")] = False,
) -> None:
    """Show the evidence of a run, or write it as a page.

    A summary here, the whole report as HTML, Markdown or JSON, or a card to share as SVG.
    """
    from mlopt.cli import console
    from mlopt.cli.files import write_text
    from mlopt.report import read
    from mlopt.report.study import is_study

    if is_study(source):
        _study(source, _format(format_, out, as_json=as_json), out, open_=open_)
        return
    wanted = _format(format_, out, as_json=as_json)
    evidence = read(source)
    page = _page(source, wanted, out) if open_ else None
    if page is not None and out is None:
        _browse(page)
    elif wanted is None:
        from mlopt.cli.summary import show

        show(evidence, console.out)
    elif out is None:
        console.emit_document(_text(evidence, source, wanted))
    else:
        write_text(out, _text(evidence, source, wanted))
        console.err.print(f"wrote {out}")
        if page is not None:
            _browse(page)


def _study(source: Path, wanted: ReportFormat | None, out: Path | None, *, open_: bool) -> None:
    """Show what a search found: the lines of its summary, or its page, Markdown or JSON."""
    from mlopt.cli import console
    from mlopt.cli.files import write_text
    from mlopt.report import study

    record = study.read(source)
    page = _page(source, wanted, out, study.PAGE_FILE) if open_ else None
    if wanted is not None or page is None:
        text = "\n".join(study.told(record)) if wanted is None else study.text(record, wanted.value)
        if out is not None:
            write_text(out, text)
            console.err.print(f"wrote {out}")
        elif wanted is None:
            console.out.print(text)
        else:
            console.emit_document(text)
    if page is not None:
        _browse(page)


def _page(source: Path, wanted: ReportFormat | None, out: Path | None, name: str = "report.html") -> Path:
    """Return the page that a browser is to show: what is written, or what lies in the artifact."""
    from mlopt.core.errors import UserError

    if wanted not in (None, ReportFormat.HTML):
        raise UserError(f"a browser shows no {wanted}", fix="leave out --open, or write -o FILE.html")
    if out is not None:
        return out
    page = (source if source.is_dir() else source.parent) / name
    if wanted is None and page.is_file():
        return page
    raise UserError("there is no page to open", where=str(page), fix=f"mlopt report {source} -o {name} --open")


def _browse(page: Path) -> None:
    """Open a page in the user's browser, which gets nothing to sign with."""
    import os
    import webbrowser

    from mlopt.core.errors import UserError
    from mlopt.core.worker import child_environment

    for name in os.environ.keys() - child_environment().keys():
        del os.environ[name]
    if not webbrowser.open(page.resolve().as_uri()):
        raise UserError("no browser could be started", where=str(page), fix="open this file where there is one")


def _format(format_: ReportFormat | None, out: Path | None, *, as_json: bool) -> ReportFormat | None:
    from mlopt.core.errors import UserError

    if as_json or format_ is not None:
        if as_json and format_ not in (None, ReportFormat.JSON):
            raise UserError(f"--json and --format {format_} contradict each other", fix="give one of them")
        return ReportFormat.JSON if as_json else format_
    if out is None:
        return None
    ending = out.suffix.removeprefix(".").lower()
    if ending not in list(ReportFormat):
        fix = "end the name in .html, .md, .svg or .json, or say --format"
        raise UserError("the format of the report is not known", where=str(out), fix=fix)
    return ReportFormat(ending)


def _text(evidence: Report, source: Path, wanted: ReportFormat) -> str:
    if wanted is ReportFormat.MD:
        from mlopt.report import markdown

        return markdown.render(evidence)
    if wanted is ReportFormat.SVG:
        from mlopt.report import card

        return card.render(evidence)
    if wanted is ReportFormat.JSON:
        from mlopt.report import to_json

        return to_json(evidence)
    from mlopt.report import html, read_recipe

    folder = source if source.is_dir() else source.parent
    return html.render(evidence, _samples(evidence, folder), read_recipe(folder))


def _samples(evidence: Report, folder: Path) -> dict[str, list[float]]:
    """Read the samples beside the report, if they are there: without them one picture is missing."""
    from mlopt.cli import console
    from mlopt.core.errors import UserError
    from mlopt.report import read_samples

    name = evidence.final.raw
    if Path(name).name != name:
        raise UserError("the file with the samples is not beside the report", where=str(folder), got=ascii(name))
    if not (folder / name).exists():
        console.err.print(f"no {name} in {folder}: the report has no picture of how latency is spread")
        return {}
    return read_samples(folder / name)
