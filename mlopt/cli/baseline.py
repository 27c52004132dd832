"""``mlopt baseline``: the reports that a repository keeps, for gates with ``vs: baseline`` to compare with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlopt.results.report import Report

app = typer.Typer(help="Keep reports in the repository, to compare with.", no_args_is_help=True)

FOLDER = Path("baselines")
_FROM = "An artifact directory, or a report.json."
_TO = "The file to write; baselines/NAME.json by default. Commit it."
_KEPT = "Files, or folders of them; baselines/ by default."
_UNGATED = "Keep a report whose gates did not pass, too."


@app.command()
def save(
    source: Annotated[Path, typer.Argument(metavar="ARTIFACT_OR_REPORT", help=_FROM)],
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help=_TO)] = None,
    allow_ungated: Annotated[bool, typer.Option("--allow-ungated", help=_UNGATED)] = False,
) -> None:
    """Keep the report of a run whose gates passed, in place of the one before."""
    from mlopt import report
    from mlopt.cli.console import err
    from mlopt.cli.files import write_text
    from mlopt.core.errors import OutputError, UserError

    found = report.read(source)
    if found.verdict != "pass" and not allow_ungated:
        raise UserError(
            "its gates did not pass, so nothing should be compared with it", where=str(source), got=found.verdict,
            expected="pass", fix=f"`mlopt gate {source}` says why; --allow-ungated keeps it all the same",
        )  # fmt: skip
    path = output or FOLDER / f"{found.name}.json"
    if output is None:
        FOLDER.mkdir(exist_ok=True)
    elif not path.parent.is_dir():
        raise OutputError("the folder does not exist", where=str(path.parent), fix=f"mkdir -p {path.parent}")
    before = report.read(path) if path.exists() else None
    write_text(path, report.to_json(found))
    err.print(f"wrote {path}")
    for line in () if before is None else _changes(before, found):
        err.print(line)
    err.print(f"next: commit it; `mlopt gate ARTIFACT --gates FILE --baseline {path}` compares with it")


@app.command()
def show(
    kept: Annotated[list[Path] | None, typer.Argument(metavar="[FILE_OR_FOLDER]...", help=_KEPT)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """List what is kept: when and where it was measured, and the figures that others are held against."""
    from mlopt import report
    from mlopt.cli.console import columns, emit_json, out
    from mlopt.core.errors import UserError
    from mlopt.core.foreign_text import plain

    named = kept or ([FOLDER] if FOLDER.is_dir() else [])
    files = sorted(file for path in named for file in (path.glob("*.json") if path.is_dir() else (path,)))
    if not files:
        raise UserError("there is no baseline here", where=", ".join(map(str, kept or (FOLDER,))),
                        fix="`mlopt baseline save ARTIFACT` keeps one")  # fmt: skip
    reports = {file: report.read(file) for file in files}
    if as_json:
        emit_json([{"file": str(file), **_figures(one)} for file, one in reports.items()])
        return
    heads = ("name", "measured (UTC)", "verdict", "CPU", "runtime", "p50", "speedup", "accuracy", "size")
    for line in columns([heads, *(tuple(map(plain, _cells(one))) for one in reports.values())], 5):
        out.print(line)


def _changes(before: Report, now: Report) -> Iterator[str]:
    """Yield what is measurably better or worse than in the report that is replaced."""
    from mlopt.report.difference import compare

    found = compare(before, now)
    moved = [row for row in found.rows if row.verdict in {"better", "worse"}]
    yield f"in place of that of {before.created}" + ("" if moved else ": nothing is measurably better or worse")
    yield from (f"  {row.metric}: {row.change}, {row.verdict}" for row in moved)


def _figures(report: Report) -> dict[str, object]:
    final = report.final
    return {
        "name": report.name, "created": report.created, "verdict": report.verdict, "cpu": report.environment.cpu.model,
        "runtime": final.runtime, "p50_ms": final.latency_ms.p50, "speedup": report.speedup.median,
        "speedup_ci95": report.speedup.ci95, "accuracy": final.accuracy.value if final.accuracy else None,
        "size_bytes": final.size_bytes,
    }  # fmt: skip


def _cells(report: Report) -> tuple[str, ...]:
    from mlopt.report import facts

    final = report.final
    return (
        report.name, report.created, report.verdict, report.environment.cpu.model, final.runtime,
        facts.percentile(final.latency_ms, "p50"), facts.ratio(report.speedup.median),
        facts.score(final.accuracy) if final.accuracy else "-", facts.size(final.size_bytes),
    )  # fmt: skip
