"""``report.md``: the report for a pull request, a CI step summary or a terminal.

Names, reasons and messages are untrusted: outside code spans, what Markdown or HTML would read as its own is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from mlopt.core.foreign_text import plain
from mlopt.report import (
    facts,
    load,
    merit,
    operators,
    outcome,
    precision,
    quality,
    reproduce,
    search,
    spending,
    step_words,
    training,
    tried_list,
    trust,
)
from mlopt.report.advice import advised
from mlopt.report.facts import StoryRow
from mlopt.report.search import SearchRecord
from mlopt.report.step_words import NoteTable
from mlopt.report.tried import TriedRow
from mlopt.report.words import entries, words
from mlopt.results.report import Report, StepRecord

_NOTE_LENGTH = 200
_OPERATORS = 5
_SPECIAL = re.compile(r"([\\`*\[\]<>|~&]|(?<![^\W_])_|_(?![^\W_]))")
_LINKED = re.compile(r"(@|#(?=\d)|\bGH(?=-\d)|:(?=//)|\bwww(?=\.))", re.IGNORECASE)
"""After what GitHub would link something for: a space without width then keeps it from being seen."""


def render(report: Report) -> str:
    """Return the report as GitHub-flavoured Markdown."""
    metric = facts.upper_first(facts.metric_name(report))
    sections = (
        _top(report),
        _figures(report),
        _gates(report),
        _tried(report),
        _stages(report),
        _remarks(report),
        *(_searched(step, metric) for step in report.steps),
        _sampling(report),
        _sweep(report),
        _differing(report),
        _operators(report),
        _environment(report),
        _data(report),
        _notes(report),
        _took(report),
        ("## Do it again", "", "```sh", *reproduce.commands(report), "```"),
    )
    return "\n\n".join("\n".join(lines) for lines in map(tuple, sections) if lines) + "\n"


def _took(report: Report) -> Iterator[str]:
    if said := spending.sentence(report.took):
        yield "## What the run took"
        yield ""
        yield text(facts.upper_first(said)) + "."


def text(value: str) -> str:
    """Return untrusted text as one line that shows as it is: names nobody, refers to no issue and becomes no link."""
    return _LINKED.sub(r"\1&#8203;", _SPECIAL.sub(r"\\\1", plain(value)))


def code(value: str) -> str:
    """Return untrusted text as a code span, safe in a table."""
    return "`" + (plain(value).replace("`", "'").replace("|", "\\|") or " ") + "`"


def _top(report: Report) -> Iterator[str]:
    yield f"# {text(report.name)}: {report.verdict.upper()}"
    yield ""
    yield f"**{text(outcome.headline(report))}**"
    yield ""
    whose = merit.sentence(report)
    if whose is not None:
        yield text(whose)
        yield ""
    aim = f"Optimized for {text(report.objective)}" if report.steps else "Measured side by side"
    yield f"{aim}, {text(report.created)}."
    warning = trust.warning(report)
    if warning is not None:
        yield ""
        yield f"> **{text(warning)}**"


def _figures(report: Report) -> Iterator[str]:
    rows = ((text(one.label), f"**{one.value}**", text(one.detail)) for one in facts.figures(report))
    yield from table({"Figure": "l", "Value": "r", "95 % interval, and what it is compared with": "l"}, rows)


def _stages(report: Report) -> Iterator[str]:
    yield "## Steps" if report.steps else "## Models"
    yield ""
    metric = text(facts.upper_first(facts.metric_name(report)))
    work = facts.work(report)
    counted = {} if work is None else {work: "r"}
    columns = {"Step": "l", "Status": "l", "Latency p50": "r", "Size": "r", **counted, metric: "r"}
    yield from table(columns, (_stage_row(stage, counted=bool(counted)) for stage in facts.stages(report)))


def _stage_row(stage: StoryRow, *, counted: bool) -> tuple[str, ...]:
    work = facts.macs(stage.macs) if stage.macs is not None else ""
    return (
        code(stage.label),
        {"reference": "reference", "step": step_words.STATUS.get(stage.status, ""), "final": "**final**"}[stage.part],
        facts.percentile(stage.latency, "p50") if stage.latency else "",
        facts.size(stage.size_bytes) if stage.size_bytes is not None else "",
        *([work] if counted else []),
        facts.score(stage.accuracy) if stage.accuracy else "",
    )


def _remarks(report: Report) -> Iterator[str]:
    for one in training.read(report.source_notes):
        yield f"- {training.SOURCE} was trained ({text(one.name)}): {text(training.told(one))}"
    for step in report.steps:
        said = " ".join((*step_words.told(step), *map(_listed, step_words.tables(step))))
        if said:
            yield f"- {code(step.name)} {step_words.STATUS[step.status]}: {text(said)}"


def _listed(table: NoteTable) -> str:
    rows = "; ".join(f"{name} {value}" for name, value in table.rows[:_OPERATORS])
    more = len(table.rows) - _OPERATORS
    return f"{facts.upper_first(table.title)}: {rows}{f'; {more:,} more' if more > 0 else ''}."


def _searched(step: StepRecord, metric: str) -> Iterator[str]:
    found = search.read(step.notes)
    if found is not None:
        yield f"## What {code(step.name)} tried"
        yield ""
        yield from tried(found, metric)


def tried(found: SearchRecord, metric: str) -> Iterator[str]:
    """Yield what a search tried, as a table, and what each mode promised; ``metric`` is a column's head."""
    yield f"{text(facts.upper_first(search.spent(found)))}."
    yield ""
    yield from (f"- {text(mode)}: {text(promise)}" for mode, promise in found.modes.items())
    heads, rows = search.versions(found, metric)
    if rows:
        yield ""
        yield from table({text(head): "l" for head in heads}, (tuple(map(text, row)) for row in rows))


def _gates(report: Report) -> Iterator[str]:
    yield "## Gates"
    yield ""
    if not report.gates:
        yield "There are no gates, so nothing was judged."
        return
    rows = (
        (code(f"{gate.metric} {gate.limit}"), f"**{trust.mark(gate).text}**", text(gate.message))
        for gate in advised(report).gates
    )
    yield from table({"Gate": "l", "Verdict": "l", "Why": "l"}, rows)


def _tried(report: Report) -> Iterator[str]:
    if not report.tried:
        return
    listed = tried_list.rows(report)
    yield "## What was tried"
    yield ""
    yield from (f"- {label}: {text(told)}" for label, told in tried_list.sheet(report, listed))
    yield ""
    columns = {"#": "r", "Deployable": "l", "Runtime": "l", "Options": "l", "Latency": "r", "Speedup": "r"}
    columns |= {"Cosine": "r", text(facts.upper_first(facts.metric_name(report))): "r", "Why it is not shipped": "l"}
    yield from table(columns, map(_tried_row, listed))
    left = tried_list.left_out(report)
    if left:
        yield ""
        yield f"{left}."


def _tried_row(row: TriedRow) -> tuple[str, ...]:
    why = f"**{row.standing}**" if row.standing != "valid" else ""
    return (
        str(row.number), code(row.form), text(row.runtime), text(row.options), row.latency,
        f"{row.speedup} ({row.interval})" if row.interval else row.speedup, row.cosine, row.accuracy,
        ": ".join(filter(None, (why, text(facts.shorten(row.why_not, _NOTE_LENGTH))))),
    )  # fmt: skip


def _sampling(report: Report) -> Iterator[str]:
    yield "## Measuring"
    yield ""
    line = trust.sampling_line(report)
    if line is not None:
        yield f"- {text(line)}"
    yield f"- A/A control: {text(trust.control(report.speedup))}"
    for name, cause in (report.sampling.lost if report.sampling else {}).items():
        yield f"- {code(name)} was lost: {text(cause)}"
    for name, cost in trust.cold_start(report):
        yield f"- {code(name)} cold start: {text(cost)}"


def _sweep(report: Report) -> Iterator[str]:
    if not report.sweep:
        return
    yield "## Under load"
    yield ""
    columns = {"Model": "l", "Batch": "r", "Clients": "r", "Threads": "r", "p50": "r", "p95": "r", "Samples/s": "r"}
    rows = (
        (
            code(point.name),
            f"{point.batch_size:,}",
            f"{point.concurrency:,}",
            f"{point.threads:,}",
            facts.percentile(point.latency_ms, "p50"),
            facts.percentile(point.latency_ms, "p95"),
            facts.number(point.throughput_per_s),
        )
        for one in load.loads(report)
        for point in one.points
    )
    yield from table(columns, rows)


def _differing(report: Report) -> Iterator[str]:
    sentence = quality.differences(report)
    if sentence is not None:
        yield f"## {text(facts.upper_first(facts.metric_name(report)))}"
        yield ""
        yield text(sentence)


def _operators(report: Report) -> Iterator[str]:
    names, ran = operators.models(report), precision.lines(report)
    if names or ran:
        yield "## Where the time goes"
        yield ""
    yield from map(text, ran)
    if not names:
        return
    if ran:
        yield ""
    columns = {"Operator": "l"} | {code(name): "r" for name in names}
    pairs = operators.pairs(report, _OPERATORS)
    rows = ((text(pair.label), *map(operators.time, (pair.before, pair.after)[-len(names) :])) for pair in pairs)
    yield from table(columns, rows)


def _environment(report: Report) -> Iterator[str]:
    environment = report.environment
    yield "## Environment"
    yield ""
    isa = ", ".join(environment.cpu.isa) or "no special instruction sets"
    yield f"- CPU: {text(environment.cpu.model)}, {environment.cpu.cores} cores ({text(isa)})"
    yield f"- GPU: {text(environment.gpu or 'none')}"
    yield f"- System: {text(environment.os)}, Python {text(environment.python)}, mlopt {text(environment.mlopt)}"
    versions = ", ".join(f"{name} {version}" for name, version in environment.packages.items())
    yield f"- Packages: {text(versions)}"
    yield f"- Measured with: {text(words(report.final.options))}"


def _data(report: Report) -> Iterator[str]:
    if report.data:
        yield "## Data"
        yield ""
    for name, one in report.data.items():
        yield f"- {text(name)}: " + ", ".join(f"{text(label)} {text(value)}" for label, value in entries(one))


def _notes(report: Report) -> Iterator[str]:
    if report.notes:
        yield "## Notes"
        yield ""
    for note in report.notes:
        yield f"- {text(note)}"


def table(columns: Mapping[str, str], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Yield a table of cells that are Markdown already; ``columns`` are the heads with ``l`` or ``r``."""
    yield f"| {' | '.join(columns)} |"
    yield f"|{'|'.join('---:' if side == 'r' else '---' for side in columns.values())}|"
    for row in rows:
        yield f"| {' | '.join(row)} |"
