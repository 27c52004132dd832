"""``mlopt bench``: measure models side by side, interleaved, a process each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from mlopt.benchmark import Comparison

_MODELS = "ONNX models or artifacts; the first is what the others are compared with, unless --against is given."


def bench(
    models: Annotated[list[Path], typer.Argument(metavar="MODEL_OR_ARTIFACT...", help=_MODELS)],
    against: Annotated[Path | None, typer.Option("--against", help="The model to compare with.")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="An .npz with inputs; random inputs if absent.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads per model.  [default: the cores]")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Samples in one inference.")] = 1,
    time: Annotated[float, typer.Option(min=0.1, help="Seconds of measuring per model.")] = 3.0,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the result as JSON.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """Measure latency, and speedups with their intervals."""
    import json as codec

    from mlopt.benchmark import compare
    from mlopt.cli.console import emit_json, err, out
    from mlopt.cli.files import write_text
    from mlopt.cli.progress import Progress

    paths = [against, *models] if against is not None else models
    with Progress(err) as progress:
        result = compare(paths, data, threads=threads, batch_size=batch, seconds=time, notify=progress.update)
    if output is not None:
        write_text(output, codec.dumps(result.as_json(), indent=1, allow_nan=False) + "\n")
    if json:
        emit_json(result.as_json())
    else:
        out.print(_table(result))


def _table(result: Comparison) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("model", "p50 ms", "p95 ms", "size MB", "peak RSS MB", "speedup (95 %)"):
        table.add_column(name, justify="left" if name == "model" else "right", overflow="fold")
    for name, latency in result.latency_ms.items():
        speedup = result.speedups.get(name)
        ratio = "1 (the baseline)"
        if speedup is not None:
            ratio = f"{speedup.median:.2f}x ({speedup.ci95[0]:.2f} to {speedup.ci95[1]:.2f})"
        table.add_row(
            name, _number(latency.p50), _number(latency.p95), f"{result.size_bytes[name] / 1e6:.2f}",
            f"{result.peak_rss_bytes[name] / 1e6:.0f}", ratio,
        )  # fmt: skip
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
