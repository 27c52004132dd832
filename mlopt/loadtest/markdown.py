"""``loadtest.md``: a load test for a pull request, a CI step summary or a terminal. All its texts are untrusted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mlopt.loadtest import words
from mlopt.report.markdown import table, text
from mlopt.results.serving import LoadTestRecord


def render(record: LoadTestRecord) -> str:
    """Return it as GitHub-flavoured Markdown."""
    sections = (
        _top(record),
        _table("Gates", words.GATE_HEADS, words.gates(record.gates)),
        _table("Latency", words.LATENCY_HEADS, words.latencies(record.figures), "r"),
        _table("Errors", words.ERROR_HEADS, words.errors(record.figures)),
        _compared(record),
        () if record.ramp is None else _table("Rates", words.RAMP_HEADS, words.ramp(record.ramp.steps)),
        _account(record),
    )
    return "\n\n".join("\n".join(lines) for lines in map(tuple, sections) if lines) + "\n"


def _top(record: LoadTestRecord) -> Iterator[str]:
    yield f"# {text(record.served.model)} under load: {words.verdict(record)}"
    yield ""
    yield text(words.headline(record))
    for reason in words.reasons(record):
        yield ""
        yield text(reason)
    yield ""
    figures = ((text(one.label), f"**{text(one.value)}**", text(one.detail)) for one in words.top(record))
    yield from table({"Figure": "l", "Value": "r", "Interval": "l"}, figures)


def _table(title: str, heads: Sequence[str], rows: Iterable[tuple[str, ...]], side: str = "l") -> Iterator[str]:
    listed = [tuple(map(text, row)) for row in rows]
    if not listed:
        return
    yield f"## {title}"
    yield ""
    yield from table({head: side if place else "l" for place, head in enumerate(heads)}, listed)


def _compared(record: LoadTestRecord) -> Iterator[str]:
    found = record.comparison
    if found is None:
        return
    yield from _table("Against the other", words.DIFFERENCE_HEADS, words.differences(found.differences))
    yield ""
    errors = text(words.percent(found.figures.error_rate))
    yield f"The other: {text(found.other.url)}, model {text(found.other.model)}; its errors {errors}."


def _account(record: LoadTestRecord) -> Iterator[str]:
    yield "## What was done"
    yield ""
    yield from (f"- {label}: {text(value)}" for label, value in words.account(record))
    yield from (f"- note: {text(note)}" for note in record.notes)
    cpu = record.environment.cpu
    yield f"- generator: {text(cpu.model)}, {cpu.cores} cores; mlopt {text(record.environment.mlopt)}"
