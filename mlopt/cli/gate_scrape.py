"""``mlopt gate URL``: gates on a server in service, from a scrape of its metrics."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlopt.cli.table_format import TableFormat, emit
from mlopt.core.errors import UserError
from mlopt.core.fetch import fetch, is_url, read_file

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from mlopt.cli.console import Screen
    from mlopt.gate.limits import Gate
    from mlopt.results.report import GateVerdict
    from mlopt.results.section import Verdict

    Judged = tuple[tuple[str, GateVerdict], ...]
    """Verdicts, each with its model's name, which is empty where the server gives none."""

_STYLES = {"pass": "green", "fail": "bold red", "inconclusive": "yellow"}
HEADS = ("verdict", "model", "gate", "found")


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


def judged(source: str, gates: Sequence[Gate], earlier: Path | None, models: Collection[str]) -> Judged:
    """Scrape once, and judge each model by itself, or those ``models``; ``earlier`` is a file with a scrape of before.

    Raises ``UserError``.
    """
    from mlopt.gate.scrape import judge_scrape, served

    before = None if earlier is None else _text(str(earlier))
    found = served(_text(source), source, models=models, earlier=before)
    return tuple((model, one) for model, each in found.items() for one in judge_scrape(gates, each))


def only_of_a_scrape(models: Sequence[str]) -> UserError:
    """Return what to say of ``--model`` with a report."""
    return UserError("--model goes with a scrape: a report is of one model", got=f"--model {models[0]}",
                     fix="leave it out")  # fmt: skip


def refuse(options: Mapping[str, object]) -> None:
    """Raise ``UserError`` for what only a report answers."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise UserError(f"{', '.join(given)} goes with a report or an artifact, not with a scrape",
                        fix="leave it out; --json, and --format md or csv, tell of a scrape")  # fmt: skip


def show(source: str, judged: Judged, format_: TableFormat) -> Verdict:
    """Print the verdicts, for people to standard error if a document goes to standard output; return the worst."""
    from mlopt.cli import console
    from mlopt.gate.judge import overall

    verdict = overall([one for _, one in judged])
    _tell(judged, verdict, console.out if format_ is TableFormat.TEXT else console.err)
    if format_ is TableFormat.JSON:
        found = [{"model": model or None, **one.model_dump(mode="json")} for model, one in judged]
        console.emit_json({"source": source, "verdict": verdict, "gates": found})
    elif format_ is not TableFormat.TEXT:
        emit(format_, HEADS, [(one.verdict, model, f"{one.metric} {one.limit}", one.message) for model, one in judged])
    return verdict


def _tell(judged: Judged, verdict: Verdict, screen: Screen) -> None:
    from mlopt.core.foreign_text import plain

    for model, one in judged:
        gate = f"{one.metric} {one.limit}" + (f", model {plain(model)}" if model else "")
        screen.say(f"{one.verdict:<13}{gate}", _STYLES[one.verdict], len(one.verdict))
        screen.print(f"{'':<13}{plain(one.message)}")
    screen.print(f"verdict      {verdict}", style=_STYLES[verdict])
    if (models := len({model for model, _ in judged})) > 1:
        screen.print(f"{'':<13}the worst of {models} models, each judged by itself; --model NAME judges one")


def _text(source: str) -> str:
    data = fetch(source) if is_url(source) else read_file(Path(source), "the scrape")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            "the scrape is not UTF-8", where=source, fix="give what a server says at /metrics, as it came"
        ) from error
