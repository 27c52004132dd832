"""What ``mlopt bench`` gives to others: Markdown that is pasted into a pull request, and CSV for a spreadsheet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlopt.cli import table_format

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlopt.bench.benchmark import Result
    from mlopt.results.report import Report

_HEADS = ("model", "p50 ms", "p95 ms", "samples/s", "speedup", "95 %", "size", "peak memory")
_FIGURES = (
    "model", "p50_ms", "p95_ms", "p99_ms", "mean_ms", "n", "samples_per_s", "speedup", "speedup_low", "speedup_high",
    "size_bytes", "peak_rss_bytes", "lost",
)  # fmt: skip


def markdown(result: Result) -> str:
    """Return one table, what it was measured on, and the gates with their verdict."""
    report = result.report
    parts = [table_format.markdown(_HEADS, _rows(result))]
    if report is not None:
        parts += [_measured_on(report)]
    if report is not None and report.gates:
        gates = [(one.verdict, f"{one.metric} {one.limit}", one.message) for one in report.gates]
        parts += [f"**{report.verdict.upper()}**\n", table_format.markdown(("verdict", "gate", "found"), gates)]
    return "\n".join(parts)


def csv(result: Result) -> str:
    """Return a row for each model with its figures in full; what was lost says why."""
    rows = [*_measured(result), *((name, *[""] * (len(_FIGURES) - 2), cause) for name, cause in result.lost.items())]
    return table_format.csv(_FIGURES, rows)


def _rows(result: Result) -> Iterator[tuple[str, ...]]:
    from mlopt.report.facts import size

    base = result.report.baseline.name if result.report is not None else None
    for name, one in result.candidates.items():
        speedup = result.speedups.get(name) if name != base else None
        ratio = "baseline" if name == base else f"{speedup.median:.2f}x" if speedup else "-"
        between = f"{speedup.ci95[0]:.2f} to {speedup.ci95[1]:.2f}" if speedup else ""
        timed = (_ms(one.latency_ms.p50), _ms(one.latency_ms.p95), f"{one.throughput_per_s:.1f}")
        yield name, *timed, ratio, between, size(one.size_bytes), size(one.peak_rss_bytes)
    for name, cause in result.lost.items():
        yield name, "-", "-", "-", f"lost: {cause}", "", "", ""


def _measured(result: Result) -> Iterator[tuple[str, ...]]:
    for name, one in result.candidates.items():
        latency, speedup = one.latency_ms, result.speedups.get(name)
        ratios = (speedup.median, *speedup.ci95) if speedup else (None, None, None)
        figures = (latency.p50, latency.p95, latency.p99, latency.mean, latency.n, one.throughput_per_s, *ratios,
                   one.size_bytes, one.peak_rss_bytes)  # fmt: skip
        yield name, *("" if each is None else f"{each:.10g}" for each in figures), ""


def _measured_on(report: Report) -> str:
    from mlopt.report.markdown import text
    from mlopt.report.trust import sampling_line, warning

    environment, final = report.environment, report.final
    threads = final.options.get("threads")
    load = [f"batch {final.batch_size}", *([f"{threads} threads"] if threads is not None else [])]
    told = (f"{environment.cpu.model}, {', '.join(load)}", sampling_line(report), warning(report))
    return "".join(f"{text(line)}  \n" for line in told if line)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
