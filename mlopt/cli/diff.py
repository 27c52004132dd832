"""``mlopt diff``: what changed between two reports. It informs, and always exits with 0; limits are for ``gate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlopt.cli.table_format import Format, Json, TableFormat, chosen, csv
from mlopt.core.foreign_text import as_json, plain

if TYPE_CHECKING:
    from mlopt.report.difference import ReportDifference, Row
    from mlopt.results.report import Report


_OLD = "What was: an artifact directory, or a report.json."
_NEW = "What is now: the same."
_HEADS = ("metric", "old", "new", "change", "verdict")
_VERDICTS = {"better": "better", "worse": "worse", "same": "no measurable difference", "unknown": "not comparable"}


def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help=_OLD)],
    new: Annotated[Path, typer.Argument(metavar="NEW", help=_NEW)],
    format_: Format = TableFormat.TEXT,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The file to write; by default it is shown.")] = None,
    as_json: Json = False,
) -> None:
    """Compare two reports.

    Across differing hardware or versions nothing that depends on them is better or worse.
    """
    from mlopt import report
    from mlopt.cli import console
    from mlopt.cli.files import write_text
    from mlopt.report.difference import compare

    renderers = {
        TableFormat.TEXT: _text, TableFormat.MD: _markdown, TableFormat.JSON: _json, TableFormat.CSV: _csv,
    }  # fmt: skip
    render = renderers[chosen(format_, as_json)]
    was, now = report.read(old), report.read(new)
    shown = render(was, now, compare(was, now))
    if out is None:
        console.emit_document(shown)
    else:
        write_text(out, shown)
        console.err.print(f"wrote {out}")


def _text(was: Report, now: Report, found: ReportDifference) -> str:

    lines = [f"old  {_identity(was)}", f"new  {_identity(now)}", ""]
    if found.environment:
        lines += ["the environments differ:", *(f"  {plain(one)}" for one in found.environment), ""]
    if found.shipped:
        lines += [*map(plain, found.shipped), ""]
    rows = [_HEADS, *map(_cells, found.rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    reasons = [f"  {', '.join(metrics)}: {reason}" for reason, metrics in _reasons(found).items()]
    if reasons:
        lines += ["", "not comparable:", *reasons]
    return "\n".join(lines) + "\n"


def _markdown(was: Report, now: Report, found: ReportDifference) -> str:
    from mlopt.report.markdown import code, text

    lines = [f"### {text(now.name)}: what changed", "", f"- old: {text(_identity(was))}"]
    lines += [f"- new: {text(_identity(now))}"]
    if found.environment:
        lines.append(f"- the environments differ: {text('; '.join(found.environment))}")
    lines += [f"- {text(one)}" for one in found.shipped]
    lines += ["", f"| {' | '.join(_HEADS)} |", "|---|---:|---:|---:|---|"]
    for metric, *figures, verdict in map(_cells, found.rows):
        lines.append(f"| {' | '.join([code(metric), *map(text, figures), text(verdict)])} |")
    reasons = [f"- {', '.join(map(code, metrics))}: {text(reason)}" for reason, metrics in _reasons(found).items()]
    if reasons:
        lines += ["", "Not comparable:", "", *reasons]
    return "\n".join(lines) + "\n"


def _json(was: Report, now: Report, found: ReportDifference) -> str:
    from dataclasses import asdict

    reports = {key: {"name": one.name, "created": one.created} for key, one in (("old", was), ("new", now))}
    return as_json(reports | asdict(found)) + "\n"


def _csv(_was: Report, _now: Report, found: ReportDifference) -> str:
    return csv((*_HEADS, "reason"), [(*_cells(row), plain(row.reason)) for row in found.rows])


def _identity(report: Report) -> str:

    return plain(f"{report.name}, {report.created}, {report.environment.cpu.model}")


def _cells(row: Row) -> tuple[str, ...]:
    change = row.change
    if row.interval is not None:
        shape = "+.2f" if change.endswith("pt") else ".3f"
        change += f" ({row.interval[0]:{shape}} to {row.interval[1]:{shape}})"
    verdict = "the same" if row.verdict == "same" and row.old == row.new else _VERDICTS[row.verdict]
    return row.metric, _figure(row.old, row.unit), _figure(row.new, row.unit), change, verdict


def _figure(value: float | None, unit: str) -> str:
    from mlopt.report.facts import number, ratio

    if value is None:
        return ""
    if unit == "x":
        return ratio(value)
    return f"{number(value)} {unit}" if unit else f"{value:.5g}"


def _reasons(found: ReportDifference) -> dict[str, list[str]]:
    """Return each reason for not comparing, with the figures that it holds for."""

    reasons: dict[str, list[str]] = {}
    for row in found.rows:
        if row.verdict == "unknown":
            reasons.setdefault(plain(row.reason), []).append(row.metric)
    return reasons
