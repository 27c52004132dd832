"""``mlopt gate URL``: gates on a server in service, from a scrape of its metrics."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlopt.cli.table_format import TableFormat, emit
from mlopt.core.errors import UserError
from mlopt.core.fetch import fetch, is_url, read_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlopt.gate.limits import Gate
    from mlopt.results.report import GateVerdict
    from mlopt.results.section import Verdict

_STYLES = {"pass": "green", "fail": "bold red", "inconclusive": "yellow"}
HEADS = ("verdict", "gate", "found")


def is_scrape(source: str) -> bool:
    """Whether this is a URL, or a file that is no JSON document, as a report is."""
    if is_url(source):
        return True
    path = Path(source)
    try:
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            begin = stream.read(4096).lstrip()
    except OSError:  # whoever reads it as a report says why
        return False
    return begin[:1] not in (b"{", b"") and (begin.startswith(b"#") or b"mlopt_" in begin)


def judged(source: str, gates: Sequence[Gate], earlier: Path | None) -> tuple[GateVerdict, ...]:
    """Scrape once, and judge; ``earlier`` is a file with a scrape of before. Raises ``UserError``."""
    from mlopt.gate.scrape import judge_scrape, served

    before = None if earlier is None else _text(str(earlier))
    return judge_scrape(gates, served(_text(source), source, earlier=before))


def refuse(options: Mapping[str, object]) -> None:
    """Raise ``UserError`` for what only a report answers."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise UserError(f"{', '.join(given)} goes with a report or an artifact, not with a scrape",
                        fix="leave it out; --json, and --format md or csv, tell of a scrape")  # fmt: skip


def show(source: str, verdicts: tuple[GateVerdict, ...], format_: TableFormat) -> Verdict:
    """Print the verdicts, for people to standard error if a document goes to standard output; return the worst."""
    from mlopt.cli import console
    from mlopt.core.foreign_text import plain
    from mlopt.gate.judge import overall

    verdict = overall(verdicts)
    screen = console.out if format_ is TableFormat.TEXT else console.err
    for one in verdicts:
        screen.say(f"{one.verdict:<13}{one.metric} {one.limit}", _STYLES[one.verdict], len(one.verdict))
        screen.print(f"{'':<13}{plain(one.message)}")
    screen.print(f"verdict      {verdict}", style=_STYLES[verdict])
    if format_ is TableFormat.JSON:
        found = [one.model_dump(mode="json") for one in verdicts]
        console.emit_json({"source": source, "verdict": verdict, "gates": found})
    elif format_ is not TableFormat.TEXT:
        emit(format_, HEADS, [(one.verdict, f"{one.metric} {one.limit}", one.message) for one in verdicts])
    return verdict


def _text(source: str) -> str:
    data = fetch(source) if is_url(source) else read_file(Path(source), "the scrape")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            "the scrape is not UTF-8", where=source, fix="give what a server says at /metrics, as it came"
        ) from error
