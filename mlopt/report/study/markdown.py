"""``study.md``: a study for a pull request, a CI step summary or a terminal. All its texts are untrusted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mlopt.core.foreign_text import inert
from mlopt.report.markdown import code, table, text
from mlopt.report.study import account, bars, rows
from mlopt.report.study.bars import Weight
from mlopt.report.study.rows import TrialRow
from mlopt.results.study import StudyRecord

_MOST = 20


def render(record: StudyRecord) -> str:
    """Return the study as GitHub-flavoured Markdown."""
    listed = rows.rows(record)
    sections = (
        _top(record),
        _front(record, listed),
        _weights("What each pass is worth", bars.worth(record), "Step"),
        _weights("Which settings matter", bars.importance(record), "Setting", bars.importance_caption(record)),
        (*_account(record), *_failed(listed)),
        _recipe(record),
    )
    return "\n\n".join("\n".join(lines) for lines in map(tuple, sections) if lines) + "\n"


def _top(record: StudyRecord) -> Iterator[str]:
    yield f"# {text(record.name)}: a study for {text(record.objective)}"
    yield ""
    yield f"**{text(account.headline(record))}**"
    yield ""
    found = ((text(one.label), f"**{text(one.value)}**", text(one.detail)) for one in account.top(record))
    yield from table({"Figure": "l", "Value": "r", "What it is compared with": "l"}, found)


def _front(record: StudyRecord, listed: Sequence[TrialRow]) -> Iterator[str]:
    yield "## What there is to choose from"
    yield ""
    yield text(account.front_sentence(record))
    shown = [row for row in listed if row.standing in ("best", "on the front") or row.is_recipe]
    if not shown:
        return
    yield ""
    columns = {"Trial": "r", "What differs from the recipe": "l", "Runtime": "l", "Latency": "r", "Speedup": "r"}
    columns |= {text(rows.quality_name(record)): "r", "Size": "r", "Memory": "r"}
    yield from table(columns, map(_row, shown[:_MOST]))
    yield from _more(len(shown) - _MOST)


def _row(row: TrialRow) -> tuple[str, ...]:
    marks = [*(["best"] if row.standing == "best" else []), *(["recipe"] if row.is_recipe else [])]
    speedup = f"{row.speedup} ({row.interval})" if row.interval else row.speedup
    return (
        f"{row.number}", text(row.point) + "".join(f" **{mark}**" for mark in marks), text(row.runtime), row.latency,
        speedup, row.quality, row.size, row.memory,
    )  # fmt: skip


def _weights(title: str, found: Sequence[Weight], head: str, below: str = "") -> Iterator[str]:
    if not found:
        return
    yield f"## {title}"
    yield ""
    detailed = any(one.detail for one in found)
    columns = {head: "l", "Worth" if detailed else "Explains": "r"} | ({"Compared": "l"} if detailed else {})
    yield from table(columns, ((text(one.name), one.text, text(one.detail))[: len(columns)] for one in found))
    if below:
        yield ""
        yield text(below)


def _account(record: StudyRecord) -> Iterator[str]:
    yield "## What the search took"
    yield ""
    yield from (f"- {label}: {text(value)}" for label, value in account.sheet(record))
    cpu = record.environment.cpu
    yield f"- CPU: {text(cpu.model)}, {cpu.cores} cores; mlopt {text(record.environment.mlopt)}"


def _failed(listed: Sequence[TrialRow]) -> Iterator[str]:
    for title, standing in (("Failed", "failed"), ("Given up at a cheaper look", "stopped")):
        causes = bars.causes([row for row in listed if row.standing == standing])
        if causes:
            yield f"- {title}: " + "; ".join(f"{count}: {text(cause)}" for count, cause in causes)


def _recipe(record: StudyRecord) -> Iterable[str]:
    if not record.recipe:
        return ()
    lines = [inert(line) for line in record.recipe.splitlines()]
    fence = "`" * max(3, 1 + max((_ticks(line) for line in lines), default=0))
    return "## The best recipe", "", f"{fence}yaml", *lines, fence


def _ticks(line: str) -> int:
    """Return how long the longest run of backticks is."""
    return max(map(len, "".join(one if one == "`" else " " for one in line).split()), default=0)


def _more(count: int) -> Iterator[str]:
    if count > 0:
        yield ""
        yield f"and {count:,} more in {code('study.json')}"
