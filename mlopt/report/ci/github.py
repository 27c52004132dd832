"""What GitHub Actions shows: a step summary in Markdown, and annotations.

Source: "Workflow commands for GitHub Actions" in GitHub's documentation, and ``ActionCommand.cs`` of actions/runner for
the escaping. A step's summary may have 1 MiB; of each kind of annotation a step shows the first ten. What does not fit
is counted in a line, never dropped in silence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from types import MappingProxyType
from typing import Literal

from mlopt.core.foreign_text import plain
from mlopt.report import facts, merit, outcome
from mlopt.report.advice import advised
from mlopt.report.ci import accepted_undecided, title
from mlopt.report.markdown import code, text
from mlopt.results.report import GateVerdict, Report
from mlopt.results.section import Verdict

SUMMARY_LIMIT = 1 << 20
"""Bytes that GitHub takes as the summary of one step."""
ANNOTATION_LIMIT = 10
"""Annotations of one level that GitHub shows for one step."""

Level = Literal["error", "warning", "notice"]

_LEVELS: tuple[Level, ...] = ("error", "warning", "notice")
_WORST_FIRST: tuple[Verdict, ...] = ("fail", "inconclusive", "pass")
_CELL_LENGTH = 2000
_TITLE_LENGTH = 200


def summary(report: Report, limit: int = SUMMARY_LIMIT) -> str:
    """Return the verdicts, the worst first, and the figures, in at most ``limit`` bytes; empty if not even a line fits.

    Gates that do not fit are counted, and the figures are left out first.
    """
    gates = sorted(advised(report).gates, key=lambda gate: _WORST_FIRST.index(gate.verdict))
    heading = f"### {text(facts.shorten(report.name, _TITLE_LENGTH))}: {report.verdict}"
    claim = text(facts.shorten(outcome.headline(report), _CELL_LENGTH))
    whose = merit.sentence(report)
    told = [text(facts.shorten(whose, _CELL_LENGTH)), ""] if whose else []
    top = _lines(*[heading, "", claim, ""], *told, "| | gate | evidence |", "|---|---|---|")
    room = limit - _size(top) - _size(_left_out(gates, gates)) - 1
    if room < 0:
        return ""
    rows = _fitting([_row(gate) for gate in gates], room)
    short = top + "".join(rows) + _left_out(gates[len(rows) :], gates) + "\n"
    whole = short + _figures(report)
    return whole if _size(whole) <= limit else short


def annotate(report: Report, below: PurePath | None = None) -> str:
    """Return a workflow command for each gate that is not simply met, at most ten of a level; empty if all are met.

    Broken gates are errors and undecided ones warnings; what ``on_inconclusive: pass`` settled is a notice. Each names
    the gate's line, if the report tells it; ``below`` is the folder, from the repository's on, that it tells it from.
    """
    gates = advised(report).gates
    return "".join(line for level in _LEVELS for line in _commands(level, gates, below or PurePath()))


def _row(gate: GateVerdict) -> str:
    verdict = "pass (undecided)" if accepted_undecided(gate) else gate.verdict
    limited, message = (facts.shorten(words, _CELL_LENGTH) for words in (title(gate), gate.message))
    return f"| {verdict} | {code(limited)} | {text(message)} |\n"


def _left_out(left: Sequence[GateVerdict], gates: Sequence[GateVerdict]) -> str:
    if not left:
        return ""
    count = Counter(gate.verdict for gate in left)
    which = ", ".join(f"{count[verdict]} {verdict}" for verdict in _WORST_FIRST if count[verdict])
    return f"\n{len(left)} of {len(gates)} gates ({which}) are left out: a summary has at most 1 MiB.\n"


def _figures(report: Report) -> str:
    rows = (
        f"| {text(one.label)} | {one.value} | {text(facts.shorten(one.detail, _CELL_LENGTH))} |\n"
        for one in facts.figures(report)
    )
    cpu, gpu = report.environment.cpu, report.environment.gpu
    machine = facts.shorten(f"{cpu.model}, {cpu.cores} cores" + (f", {gpu}" if gpu else ""), _CELL_LENGTH)
    table = _lines("| figure | value | 95 % interval, and what it is compared with |", "|---|---:|---|") + "".join(rows)
    return f"<details><summary>Figures</summary>\n\n{table}\nMeasured on {text(machine)}.\n\n</details>\n\n"


def _fitting(rows: Sequence[str], room: int) -> list[str]:
    """Return the rows from the first on that have at most ``room`` bytes together."""
    kept = []
    for row in rows:
        room -= _size(row)
        if room < 0:
            break
        kept.append(row)
    return kept


def _level(gate: GateVerdict) -> Level | None:
    if gate.verdict == "fail":
        return "error"
    if gate.verdict == "inconclusive":
        return "warning"
    if accepted_undecided(gate):
        return "warning" if gate.on_inconclusive == "warn" else "notice"
    return None


def _commands(level: Level, gates: Sequence[GateVerdict], below: PurePath) -> Iterator[str]:
    mine = [gate for gate in gates if _level(gate) == level]
    shown = mine if len(mine) <= ANNOTATION_LIMIT else mine[: ANNOTATION_LIMIT - 1]
    for gate in shown:
        yield _command(level, title(gate), gate.message, _where(gate, below))
    rest = mine[len(shown) :]
    if rest:
        yield _command(level, f"{len(rest)} more gates", "; ".join(map(title, rest)))


def _where(gate: GateVerdict, below: PurePath) -> dict[str, str]:
    """Return file and line; nothing where a stranger's report names a file that lies elsewhere."""
    file = PurePath(gate.place.file if gate.place else "/")
    if gate.place is None or file.is_absolute() or ".." in file.parts:
        return {}
    return {"file": (below / file).as_posix(), "line": str(gate.place.line)}


def _command(level: Level, heading: str, message: str, where: Mapping[str, str] = MappingProxyType({})) -> str:
    properties = {**where, "title": facts.shorten(heading, _TITLE_LENGTH)}
    told = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{level} {told}::{_escape(facts.shorten(message, _CELL_LENGTH))}\n"


def _property(words: str) -> str:
    return _escape(plain(words)).replace(":", "%3A").replace(",", "%2C")


def _escape(words: str) -> str:
    return words.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _lines(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


def _size(words: str) -> int:
    return len(words.encode())
