"""Print what the recipes came to, as the Markdown page docs/results.md: one row per artifact, from its report.

python benchmarks/results_table.py artifacts/mnist_cnn artifacts/minilm > docs/results.md
"""

from __future__ import annotations

import sys
from pathlib import Path

from mlopt.report import read
from mlopt.report.facts import metric_value, ms, size
from mlopt.report.schema import Report

HEAD = """\
# Results of the recipes

Measured by `make recipes`; this page is `python benchmarks/results_table.py artifacts/*`. Every ratio comes from one
interleaved run, a process per candidate, with its 95 % interval. The baseline `onnx_fp32` is the exported or given FP32
model in ONNX Runtime with all graph optimizations. The noise floor is how far two copies of that baseline differed.

Read with care: the agreement of efficientnet_lite0 is over 200 views of only 8 photographs. Views of one photograph
resemble each other, and the interval does not know that. The recipes' gate limits were set after seeing such results,
and the speedup gates only ask for "not measurably slower".
"""


def main() -> None:
    """Read the reports and print the page."""
    reports = [read(Path(name)) for name in sys.argv[1:]]
    if not reports:
        sys.exit("usage: results_table.py ARTIFACT...")
    print(HEAD)
    print("| recipe | verdict | baseline p50 | final p50 | speedup | noise floor | size | metric | drop | steps |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for report in reports:
        print(row(report))
    print()
    for report in reports:
        print(machine(report))
    print("\nSteps that were not kept:\n")
    for report in reports:
        for step in report.steps:
            if step.status in {"dropped", "refused", "failed"}:
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
