"""``mlopt bench``: measure models side by side, interleaved, a process each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlopt.cli.gate_option import Limits, read_gates
from mlopt.cli.runtime_option import ForBench, names_in
from mlopt.cli.shape_option import ForRandom, for_random
from mlopt.cli.table_format import Format, Json, TableFormat, chosen
from mlopt.core.errors import ExitCode

if TYPE_CHECKING:
    from mlopt.bench.benchmark import Result

_MODELS = "ONNX models or artifacts; the first is what the others are compared with, unless --against is given."
_GATES = "YAML with gates; they and --gate judge the last model."
_LIST = "or a list such as 1,8,32: all of them are measured, and the first is compared"
_MAX_TIME = "The most seconds of comparing, while a gate is undecided."
_OUTPUT = "Write the report (.json) here, for mlopt gate, report and diff; the samples go beside it."

_CODES = {"pass": ExitCode.OK, "fail": ExitCode.GATE_FAILED, "inconclusive": ExitCode.INCONCLUSIVE}


def bench(
    *,
    models: Annotated[list[Path], typer.Argument(metavar="MODEL_OR_ARTIFACT...", help=_MODELS)],
    against: Annotated[Path | None, typer.Option("--against", help="The model to compare with.")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="An .npz with inputs; random inputs if absent.")] = None,
    shape: ForRandom = None,
    runtime: ForBench = "",
    gate: Limits = None,
    gates: Annotated[Path | None, typer.Option("--gates", metavar="FILE", help=_GATES)] = None,
    threads: Annotated[str, typer.Option(metavar="N", help=f"Threads per model, {_LIST}.  [default: the cores]")] = "",
    batch: Annotated[str, typer.Option(metavar="N", help=f"Samples in one inference, {_LIST}.")] = "1",
    concurrency: Annotated[str, typer.Option(metavar="N", help=f"Clients at a time, {_LIST}.")] = "1",
    operators: Annotated[bool, typer.Option("--operators", help="Also say which operators take the time.")] = False,
    time: Annotated[float, typer.Option(min=0.1, help="Seconds of measuring per model, at first.")] = 3.0,
    max_time: Annotated[float, typer.Option(min=1.0, help=_MAX_TIME)] = 120.0,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help=_OUTPUT)] = None,
    format_: Format = TableFormat.TEXT,
    json: Json = False,
) -> None:
    """Measure models side by side: latency and speedups.

    Speedups come with their intervals. With gates, exits with 0, 1 or 3 as mlopt gate does.
    """
    from mlopt.bench.benchmark import BenchRequest, named, run
    from mlopt.cli import bench_page, console
    from mlopt.cli.bench_tables import show
    from mlopt.cli.progress import Progress

    wanted = chosen(format_, json)
    _check_output(output)
    names = names_in(runtime)
    asked, stored = read_gates(gate, gates, given=named((*models, against), names))
    request = BenchRequest(
        models=tuple(models), against=against, runtimes=names, data=data, shapes=for_random(shape, data),
        gates=asked, baselines=stored,
        batch_sizes=_counts(batch, "--batch"), threads=_counts(threads, "--threads") if threads else (),
        concurrency=_counts(concurrency, "--concurrency"), seconds=time, max_time=max_time, operators=operators,
        raw=_samples_path(output or Path("bench.json")).name,
    )  # fmt: skip
    with Progress(console.err) as progress:
        result = run(request, progress.update)
    show(result, console.out if wanted is TableFormat.TEXT else console.err)
    if output is not None:
        _write(result, output)
    if wanted is TableFormat.JSON and result.report is not None:
        console.emit_json(result.report.model_dump(mode="json", by_alias=True))
    elif wanted in (TableFormat.MD, TableFormat.CSV):
        console.emit_document((bench_page.markdown if wanted is TableFormat.MD else bench_page.csv)(result))
    _end(result, judged=bool(request.gates))


def _counts(text: str, option: str) -> tuple[int, ...]:
    """Read ``1`` or ``1,8,32``: different whole numbers from 1."""
    parts = [part.strip() for part in text.split(",")]
    wrong = [part for part in parts if re.fullmatch(r"[1-9][0-9]{0,5}", part) is None]
    if wrong:
        raise typer.BadParameter(f"'{wrong[0]}' is no whole number from 1; write 8, or 1,8,32", param_hint=option)
    return tuple(dict.fromkeys(map(int, parts)))


def _check_output(output: Path | None) -> None:
    """Find out before minutes of measuring, not after, that the result could not be written."""
    if output is None:
        return
    if output.suffix != ".json":
        raise typer.BadParameter("the report is JSON: end the name in .json", param_hint="--output")
    if not output.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {output.parent}", param_hint="--output")


def _samples_path(output: Path) -> Path:
    return output.with_suffix(".samples.json")


def _write(result: Result, output: Path) -> None:
    """Write the samples, and the report if there is one: it is useless without a baseline or a result."""
    from mlopt import report
    from mlopt.cli.files import write_text
    from mlopt.core.errors import OutputError

    samples = _samples_path(output)
    try:
        report.write_samples(result.blocks, samples)
    except OSError as error:
        raise OutputError(f"the samples cannot be written: {error.strerror}", where=str(samples)) from error
    if result.report is not None:
        write_text(output, report.to_json(result.report))


def _end(result: Result, *, judged: bool) -> None:
    """Exit with the verdict's code; a model that was lost is an error, whatever the others were like."""
    from mlopt.core.errors import MeasureError, Problem

    if result.lost:
        what = "the model could not be measured"
        what += "" if result.report else ", and there is no report without the baseline or the last model"
        raise MeasureError.of(
            Problem(what, name, cause, fix=result.fixes.get(name)) for name, cause in result.lost.items()
        )
    if judged and result.report is not None:
        raise typer.Exit(_CODES[result.report.verdict])
