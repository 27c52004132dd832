"""``mlopt compare``: where two versions of a model part, tensor by tensor. It informs, and always exits with 0."""

from __future__ import annotations

import math
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlopt.cli.runtime_option import ForOutputs, OutputThreads, names_in
from mlopt.cli.shape_option import ForRandom, for_random
from mlopt.cli.table_format import Format, Json, TableFormat, chosen, emit
from mlopt.core.foreign_text import as_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlopt.data.given_sizes import Shapes
    from mlopt.report.tensor_page import PageContent
    from mlopt.runtimes.base import Deployable
    from mlopt.tensors import TensorDifference


class Order(StrEnum):
    """How the table is sorted."""

    GRAPH = "graph"
    ERROR = "error"


_TEXTS = 3  # columns; figures follow

_A = "The reference: a model file, such as an .onnx one, or an artifact."
_B = "Another version of it: the same."
_DATA = "An .npz whose arrays are named after the inputs; random inputs if absent."
_THRESHOLD = "Signal to noise, in dB, below which a tensor counts as diverged."
_LIMIT = "The worst so many tensors are shown; JSON and HTML have all."


def compare(
    *,
    a: Annotated[Path, typer.Argument(metavar="A", help=_A)],
    b: Annotated[Path, typer.Argument(metavar="B", help=_B)],
    data: Annotated[Path | None, typer.Option("--data", metavar="FILE", help=_DATA)] = None,
    shape: ForRandom = None,
    runtime: ForOutputs = "",
    threads: OutputThreads = None,
    samples: Annotated[int, typer.Option(min=1, metavar="N", help="Compare on N samples that are like them all.")] = 8,
    threshold: Annotated[float, typer.Option(metavar="DB", help=_THRESHOLD)] = 10.0,
    sort: Annotated[Order, typer.Option(help="By the graph, or the worst first.")] = Order.GRAPH,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help=_LIMIT)] = 20,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page here.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the JSON here.")] = None,
    format_: Format = TableFormat.TEXT,
    json: Json = False,
) -> None:
    """Compare two versions of a model, tensor by tensor.

    Names the first node at which they part. Tensors are those of ONNX Runtime. Outputs are also compared in what an
    artifact is deployed in, or in --runtime.
    """
    from mlopt.cli import console
    from mlopt.cli.files import write_text
    from mlopt.cli.progress import Progress
    from mlopt.report import tensor_page

    wanted = chosen(format_, json)
    if not math.isfinite(threshold):
        raise typer.BadParameter("give a number of dB", param_hint="--threshold")
    names = names_in(runtime)
    if len(names) > 2:
        raise typer.BadParameter(
            "two models run in two runtimes at most: name one, or A's and B's", param_hint="--runtime"
        )
    with Progress(console.err) as progress:
        found = _evidence(
            a, b, data, names, threads=threads, shapes=for_random(shape, data), samples=samples, threshold=threshold,
            notify=partial(progress.update, "comparing tensors", ""),
        )  # fmt: skip
    if wanted is TableFormat.JSON:
        console.emit_json(tensor_page.document(found))
    elif wanted is TableFormat.TEXT:
        _show(found, sort, limit)
    else:
        emit(wanted, tensor_page.COLUMNS, map(tensor_page.cells, _chosen(found, sort, limit)))
    if output is not None:
        write_text(output, _json(found))
    if html is not None:
        write_text(html, tensor_page.render(found))
    for written in (output, html):
        if written is not None:
            console.err.print(f"wrote {written}")


def _evidence(
    a: Path, b: Path, data: Path | None, runtimes: tuple[str, ...], *, threads: int | None, shapes: Shapes,
    samples: int, threshold: float, notify: Callable[[float], None],
) -> PageContent:  # fmt: skip
    """Open both, read or make up the samples, and compare."""
    import tempfile
    from dataclasses import replace

    from mlopt.artifact.deployed import given
    from mlopt.core.errors import ModelError
    from mlopt.data import made_up
    from mlopt.data.dataset import store
    from mlopt.data.fitting import make_up, narrowest
    from mlopt.data.reading import read
    from mlopt.data.source import DataSource
    from mlopt.report.tensor_page import PageContent
    from mlopt.tensors import compare_models
    from mlopt.tensors.outputs import compare_outputs

    first, second = given(a), given(b)
    deployed = _deployed(first, second, runtimes, threads)
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder) / "samples"
        if data is None:
            name = "random inputs: --data FILE gives real ones"
            stored = make_up(narrowest([first, second]), 1, at, Path(folder) / "log", shapes)
        else:
            name = str(data)
            source = DataSource(source=str(data.resolve()), limit=samples)
            stored = store(read(source, Path(), first.model.inputs, first.model.defaults), at, name)
        try:
            found = compare_models(first, second, stored, limit=samples, notify=notify)
            log = Path(folder) / "outputs.log"
            outputs = compare_outputs(*deployed, stored, log, limit=samples) if deployed else None
        except ModelError as error:
            said = {} if data is not None else {one.what: one.what for one in error.problems}
            fixes = made_up.fixes(first.model.inputs, said)
            raise ModelError.of(replace(one, fix=one.fix or fixes.get(one.what)) for one in error.problems) from error
    return PageContent(first.model, second.model, name, threshold, found, outputs)


def _deployed(
    first: Deployable, second: Deployable, runtimes: tuple[str, ...], threads: int | None
) -> tuple[Deployable, Deployable] | None:
    """Return in what outputs are compared; None if that is ONNX Runtime, whose outputs stand among the tensors."""
    from mlopt.runtimes.onnxruntime import RUNTIME
    from mlopt.runtimes.table import other_runtime

    if runtimes:
        first, second = other_runtime(first, runtimes[0]), other_runtime(second, runtimes[-1])
    if {first.runtime, second.runtime} == {RUNTIME.name}:
        if threads is not None:
            raise typer.BadParameter(
                f"it is for outputs in another runtime than {RUNTIME.name}: --runtime names one", param_hint="--threads"
            )
        return None
    return (first, second) if threads is None else (first.on_threads(threads), second.on_threads(threads))


def _json(found: PageContent) -> str:

    from mlopt.report.tensor_page import document

    return as_json(document(found)) + "\n"


def _show(found: PageContent, sort: Order, limit: int) -> None:
    from mlopt.cli.console import columns, out
    from mlopt.report import tensor_page
    from mlopt.tensors import quality

    shown = _chosen(found, sort, limit)
    rows = [tensor_page.COLUMNS, *map(tensor_page.cells, shown)]
    styles = ["bold", *("red" if quality(one) < found.threshold_db else "" for one in shown)]
    for line, style in zip(columns(rows, _TEXTS), styles, strict=True):
        out.print(line, style=style)
    left = len(found.comparison.differences) - len(shown)
    if left:
        out.print(f"and {left} more: --limit N, --json or --html shows them")
    out.print()
    out.print(tensor_page.coverage(found))
    for note in found.comparison.notes:
        out.print(f"note: {note}")
    out.print(tensor_page.headline(found))
    if found.outputs is not None:
        out.print()
        out.print(tensor_page.outputs_headline(found.outputs))
        for line in columns([tensor_page.OUTPUT_COLUMNS, *map(tensor_page.output_cells, found.outputs.differences)], 1):
            out.print(line)
        for note in found.outputs.notes:
            out.print(f"note: {note}")


def _chosen(found: PageContent, sort: Order, limit: int) -> list[TensorDifference]:
    """Return the worst, in the order asked for; the first divergence and the outputs are always among them."""
    from mlopt.tensors import quality

    differences, first = found.comparison.differences, found.first
    always = [one for one in differences if one.is_output or one is first]
    others = sorted((one for one in differences if one not in always), key=quality)
    shown = always + others[: max(limit - len(always), 0)]
    return sorted(shown, key=quality if sort is Order.ERROR else differences.index)
