"""What ``mlopt optimize`` ends with: the steps, the figures, the gates and the verdict, readable at 80 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlopt.core.foreign_text import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rich.console import Console, RenderableType
    from rich.table import Table

    from mlopt.report.facts import StoryRow
    from mlopt.results.report import Report

_COLOUR = {
    "pass": "green",
    "fail": "red",
    "inconclusive": "yellow",
    "applied": "green",
    "cached": "green",
    "dropped": "yellow",
    "refused": "bright_black",
    "failed": "red",
    "lost": "red",
}
_STYLE = {"shipped": "bold", "valid": "", "not judged": "dim", "not valid": "dim"}
_MOST_TRIED, _NARROW = 8, 80


def show(report: Report, console: Console) -> None:
    """Print the summary. Text from the report is shown as it is, without markup or control characters."""
    from rich.text import Text

    from mlopt.report import advice, merit, outcome

    def line(*parts: RenderableType) -> None:
        console.print(*parts, soft_wrap=False)

    if report.tried:
        _show_tried(report, line, console.width)
    line(_steps(report))
    for step in report.steps:
        if step.reason and step.status in ("dropped", "refused", "failed"):
            line(_marked(step.status, f"{plain(step.name)}: {plain(step.reason)}"))
    line("")
    line(_figures(report))
    _say_sampling(report, line)
    line("")
    for gate, advised in zip(report.gates, advice.sentences(report), strict=True):
        found = gate.found or gate.verdict
        line(_marked(found, "\n".join((plain(f"{gate.metric} {gate.limit}: {gate.message}"), *map(plain, advised)))))
    if not report.gates:
        line("no gates: nothing was judged")
    line("")
    line(Text(report.verdict.upper(), style=f"bold {_COLOUR[report.verdict]}"), Text(outcome.headline(report)))
    whose = merit.sentence(report)
    if whose is not None:
        line(Text(whose))


def show_spent(took: Mapping[str, float], console: Console) -> None:
    """Print what a run took, by phase: what is under 2 % of it together with what else is."""
    from mlopt.report import spending

    if said := spending.sentence(took):
        console.print(plain(said), style="dim")


def _show_tried(report: Report, line: Callable[[RenderableType], None], screen: int) -> None:
    """Print the best of what was tried, and count the rest."""
    from rich.text import Text

    from mlopt.report import tried_list

    line(_tried(report, screen))
    more = len(report.tried) - _MOST_TRIED
    if more > 0:
        line(Text(f"and {more:,} more in the report", style="dim"))
    if tried_list.spent(report):
        line(Text(tried_list.spent(report), style="dim"))
    line("")


def _tried(report: Report, screen: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    from mlopt.report import facts, tried_list

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    room = max(0, screen - _NARROW) // 2
    table.add_column("tried", no_wrap=True, max_width=18)
    table.add_column("in", overflow="fold", max_width=18 + room)
    for head, width in (("p50", 9), ("speedup", 7), ("cosine", 8)):
        table.add_column(head, justify="right", no_wrap=True, max_width=width)
    table.add_column("", no_wrap=True, max_width=10 + room)
    for row in tried_list.rows(report, _MOST_TRIED):
        why = row.standing if row.standing in ("shipped", "valid") else row.why_not
        where = facts.shorten(f"{row.runtime} {row.options}".rstrip(), 3 * (18 + room))
        cells = (row.form, where, row.latency, row.speedup, row.cosine, why)
        table.add_row(*map(Text, cells), style=_STYLE[row.standing])
    return table


def _say_sampling(report: Report, line: Callable[[RenderableType], None]) -> None:
    """Say how the latencies were sampled, who was lost on the way, and whether ratios hold."""
    from rich.text import Text

    from mlopt.report import trust

    sampled = trust.sampling_line(report)
    if sampled is not None:
        line(Text(f"sampled: {sampled}", style="dim"))
    for name, cause in (report.sampling.lost if report.sampling else {}).items():
        line(_marked("lost", f"{plain(name)}: {plain(cause)}"))
    warning = trust.warning(report)
    if warning is not None:
        line(Text(warning, style="bold red"))
    for note in report.notes:
        line(Text(f"note: {plain(note)}", style="dim"))


def _steps(report: Report) -> Table:
    from rich.table import Table
    from rich.text import Text

    from mlopt.report import facts
    from mlopt.report.step_words import STATUS

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("step" if report.steps else "model", overflow="fold", max_width=28)
    table.add_column("status")
    metric = facts.shorten(facts.metric_name(report), 18)
    work = facts.work(report)
    for head in ("latency p50", "size", *([work] if work is not None else []), metric):
        table.add_column(head, justify="right")
    for stage in facts.stages(report):
        style = {"reference": "dim", "final": "bold"}.get(stage.part, "" if stage.kept else "dim")
        status = Text(STATUS[stage.status], style=_COLOUR[stage.status]) if stage.status else Text(stage.part)
        table.add_row(
            Text(plain(stage.label)), status, *map(Text, _measured(stage, counted=work is not None)), style=style
        )
    return table


def _measured(stage: StoryRow, *, counted: bool) -> tuple[str, ...]:
    from mlopt.report import facts

    work = "-" if stage.macs is None else facts.macs(stage.macs)
    return (
        facts.percentile(stage.latency, "p50") if stage.latency else "-",
        facts.size(stage.size_bytes) if stage.size_bytes is not None else "-",
        *([work] if counted else []),
        facts.score(stage.accuracy) if stage.accuracy else "-",
    )


def _figures(report: Report) -> Table:
    from rich.table import Table
    from rich.text import Text

    from mlopt.report import facts

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim")
    for one in facts.figures(report):
        table.add_row(Text(one.label), Text(one.value, style="bold"), Text(plain(one.detail)))
    return table


def _marked(word: str, text: str) -> Table:
    """Return ``text`` with a coloured word before it; lines that wrap start under the text."""
    from rich.table import Table
    from rich.text import Text

    row = Table.grid(padding=(0, 1, 0, 0))
    row.add_column(width=max(map(len, _COLOUR)), no_wrap=True)
    row.add_column(overflow="fold")
    row.add_row(Text(word, style=_COLOUR[word]), Text(text))
    return row
