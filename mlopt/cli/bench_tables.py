"""What ``mlopt bench`` prints: the models in a table, then what was asked for besides, and the verdict last."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from mlopt.bench.benchmark import Result
    from mlopt.cli.console import Screen
    from mlopt.results.figures import OperatorTime, Speedup, SweepPoint
    from mlopt.results.report import Report

_STYLES = {"pass": "green", "fail": "bold red", "inconclusive": "yellow"}
_TOP = 10
_CAUSE = 80


def show(result: Result, console: Screen) -> None:
    """Print everything; names and messages are shown as they are, without markup or control characters."""
    from mlopt.core.foreign_text import plain
    from mlopt.report.trust import sampling_line, warning

    console.print(_speeds(result), soft_wrap=False)
    if result.candidates:
        console.print()
        console.print(_costs(result), soft_wrap=False)
    report = result.report
    if report is None:
        return
    for line in filter(None, (sampling_line(report), warning(report))):
        console.print()
        console.print(plain(line))
    if report.sweep:
        console.print()
        console.print(_sweep(report.sweep), soft_wrap=False)
    for name, operators in report.operators.items():
        console.print()
        console.print(_operators(name, operators), soft_wrap=False)
    for note in report.notes:
        console.print(f"note: {plain(note)}")
    if report.gates:
        console.print()
    _gates(report, console)


def _speeds(result: Result) -> Table:
    from mlopt.report.facts import shorten

    table = _table("model", ("p50 ms", "p95 ms", "samples/s"))
    table.add_column("speedup (95 %)", overflow="fold")
    base = result.report.baseline.name if result.report is not None else None
    for name, candidate in result.candidates.items():
        latency = candidate.latency_ms
        speedup = "baseline" if name == base else _ratio(result.speedups.get(name))
        _add(table, name, _ms(latency.p50), _ms(latency.p95), f"{candidate.throughput_per_s:.1f}", speedup)
    for name, cause in result.lost.items():
        _add(table, name, "-", "-", "-", f"lost: {shorten(cause, _CAUSE)}")
    return table


def _costs(result: Result) -> Table:
    from mlopt.report.facts import size

    table = _table("model", ("load ms", "first inference ms", "size", "peak memory"))
    for name, candidate in result.candidates.items():
        cold = candidate.cold_start
        load, first = (cold.load_ms, cold.first_ms) if cold else (None, None)
        _add(table, name, _ms(load), _ms(first), size(candidate.size_bytes), size(candidate.peak_rss_bytes))
    return table


def _ratio(speedup: Speedup | None) -> str:
    if speedup is None:
        return "-"
    low, high = speedup.ci95
    return f"{speedup.median:.2f}x ({low:.2f} to {high:.2f})"


def _sweep(points: Sequence[SweepPoint]) -> Table:
    table = _table("model", ("batch", "threads", "concurrency", "p50 ms", "p95 ms", "samples/s"))
    told = ""
    for point in points:
        latency = point.latency_ms
        load = map(str, (point.batch_size, point.threads, point.concurrency))
        name, told = "" if point.name == told else point.name, point.name
        _add(table, name, *load, _ms(latency.p50), _ms(latency.p95), f"{point.throughput_per_s:.1f}")
    return table


def _operators(name: str, operators: Sequence[OperatorTime]) -> Table:
    whole = sum(one.ms for one in operators)
    table = _table(f"operators of {name}", ("nodes", "ms", "share"))
    for one in operators[:_TOP]:
        _add(table, one.op_type, str(one.nodes), _ms(one.ms), f"{100 * one.ms / whole:.1f} %" if whole else "-")
    rest = operators[_TOP:]
    if rest:
        spent = sum(one.ms for one in rest)
        nodes = str(sum(one.nodes for one in rest))
        _add(table, f"{len(rest)} other types", nodes, _ms(spent), f"{100 * spent / whole:.1f} %" if whole else "-")
    return table


def _gates(report: Report, console: Screen) -> None:
    from mlopt.core.foreign_text import plain

    for one in report.gates:
        console.say(plain(f"{one.verdict:<13}{one.metric} {one.limit}"), _STYLES[one.verdict], len(one.verdict))
        console.print(f"{'':<13}{plain(one.message)}")
    if report.gates:
        console.print(f"verdict      {report.verdict}", style=_STYLES[report.verdict])


def _table(first: str, numbers: Sequence[str]) -> Table:
    from rich.table import Table
    from rich.text import Text

    from mlopt.core.foreign_text import plain

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(Text(plain(first)), overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", overflow="fold")
    return table


def _add(table: Table, *cells: str) -> None:
    from rich.text import Text

    from mlopt.core.foreign_text import plain

    table.add_row(*(Text(plain(cell)) for cell in cells))


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
