"""Print what the recipes came to on this machine, a section of docs/recipes-measured.md: a row per artifact.

python benchmarks/results_table.py artifacts/mnist_cnn artifacts/minilm
"""

from __future__ import annotations

import sys
from pathlib import Path

from mlopt.report import read
from mlopt.report.facts import metric_value, ms, size
from mlopt.results.report import Report


def main() -> None:
    """Read the reports and print the section."""
    reports = [read(Path(name)) for name in sys.argv[1:]]
    if not reports:
        sys.exit("usage: results_table.py ARTIFACT...")
    print("| recipe | verdict | baseline p50 | final p50 | speedup | noise floor | size | metric | drop | steps |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for report in reports:
        print(row(report))
    print()
    for report in reports:
        print(machine(report))
    lost = [(report, step) for report in reports for step in report.steps if step.status not in {"applied", "cached"}]
    print("\nSteps that were not kept:\n" if lost else "\nAll steps were kept.")
    for report, step in lost:
        print(f"- {report.name}, `{step.name}` {step.status}: {step.reason}")


def row(report: Report) -> str:
    """Return one row of the table."""
    base, final, speed, drop = report.baseline, report.final, report.speedup, report.accuracy_drop
    low, high = speed.ci95
    kept = [step.name for step in report.steps if step.status in {"applied", "cached"}]
    accuracy = final.accuracy
    cells = (
        report.name,
        report.verdict,
        ms(base.latency_ms.p50 or base.latency_ms.mean),
        ms(final.latency_ms.p50 or final.latency_ms.mean),
        f"**{speed.median:.2f}x** ({low:.2f} to {high:.2f})",
        f"{speed.noise_floor:.1%}",
        f"{size(base.size_bytes)} to {size(final.size_bytes)}",
        f"{accuracy.metric} {metric_value(accuracy.value, accuracy.metric)}" if accuracy else "-",
        f"{drop.pt:.2f} pt ({drop.ci95[0]:.2f} to {drop.ci95[1]:.2f})" if drop else "-",
        ", ".join(kept),
    )
    return "| " + " | ".join(cells) + " |"


def machine(report: Report) -> str:
    """Return where and with what the figures were measured."""
    where = report.environment
    packages = ", ".join(f"{name} {version}" for name, version in where.packages.items())
    isa = ", ".join(where.cpu.isa)
    threads = report.final.options["threads"]
    return (
        f"- {report.name}: {report.created}, {where.cpu.model}, {where.cpu.cores} cores ({isa}), {threads} threads, "
        f"Python {where.python}, {packages}"
    )


if __name__ == "__main__":
    main()
