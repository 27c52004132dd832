"""``mlopt inspect``: what is in a model or an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlopt.cli.runtime_option import ForLayers, names_in
from mlopt.cli.shape_option import ForMacs, shapes_in
from mlopt.cli.table_format import Format, Json, TableFormat, chosen, markdown
from mlopt.cli.table_format import csv as as_csv

if TYPE_CHECKING:
    from mlopt.artifact.inspection import Deployment, Inspection, Outline

    Table = tuple[tuple[str, ...], list[tuple[str, ...]]]

_NAMES = 8  # JSON has them all
_MODEL = "A model file, such as an .onnx one, or an artifact."
_LAYERS = "List the layers, too; of an artifact whose report says so, with what each bears when it is pruned."
_DATA = "An .npz whose first sample gives the shapes instead."


def inspect(
    *,
    model: Annotated[Path, typer.Argument(metavar="MODEL_OR_ARTIFACT", help=_MODEL)],
    shape: ForMacs = None,
    data: Annotated[Path | None, typer.Option("--data", metavar="FILE", help=_DATA)] = None,
    layers: Annotated[bool, typer.Option("--layers", help=_LAYERS)] = False,
    runtime: ForLayers = "",
    format_: Format = TableFormat.TEXT,
    json: Json = False,
) -> None:
    """Show a model's inputs, outputs, operators and weights.

    With --runtime also, before any run, what runtimes make of it and what they compute in floating point.
    """
    from dataclasses import asdict

    from mlopt.artifact.inspection import inspect_model, shapes_of
    from mlopt.cli import console
    from mlopt.cli import inspect_layers as listing
    from mlopt.cli import inspect_runtime as loading

    wanted, names = chosen(format_, json), names_in(runtime)
    _check(wanted, layers=layers, runtimes=bool(names))
    shapes = (shapes_of(model, data) if data is not None else {}) | shapes_in(shape)
    found = inspect_model(model, shapes)
    listed = listing.of(model, shapes) if layers else None
    loaded = loading.of(model, names) if names else None
    if wanted is TableFormat.JSON:
        ports = {"inputs": found.inputs, "outputs": found.outputs}
        plain = {side: [spec.as_dict() for spec in specs] for side, specs in ports.items()}
        more = [each.plain() for each in (listed, loaded) if each is not None]
        console.emit_json(asdict(found) | plain | {key: value for each in more for key, value in each.items()})
    elif wanted is TableFormat.TEXT:
        _show(found)
        if listed is not None:
            listing.show(listed)
        if loaded is not None:
            loading.show(loaded)
    else:
        shown = [listing.table(listed)] if listed is not None else []
        shown += [loading.table(loaded)] if loaded is not None else []
        _emit(wanted, shown or [_operators(found)])


def _check(wanted: TableFormat, *, layers: bool, runtimes: bool) -> None:
    from mlopt.core.errors import UserError

    if wanted is TableFormat.CSV and layers and runtimes:
        raise UserError("--format csv prints one table", got="--layers and --runtime", fix="give one of them")


def _emit(wanted: TableFormat, tables: list[Table]) -> None:
    from mlopt.cli.console import emit_document

    emit_document("\n".join((markdown if wanted is TableFormat.MD else as_csv)(*each) for each in tables))


def _operators(found: Inspection | Outline) -> Table:
    """Return heads and rows; raises ``UserError`` where nothing can be counted."""
    from mlopt.artifact.inspection import Outline
    from mlopt.core.errors import UserError

    if isinstance(found, Outline):
        raise UserError("there is no table of this model", where=found.path, got=found.lacks, fix="leave --format out")
    return ("operator", "nodes"), [(name, str(count)) for name, count in found.operators.items()]


def _show(found: Inspection | Outline) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from mlopt.artifact.inspection import Outline
    from mlopt.cli import console

    facts = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    facts.add_column(no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in _outline(found) if isinstance(found, Outline) else _facts(found):
        facts.add_row(Text(name, style="bold"), value)
    console.out.print(facts)
    if isinstance(found, Outline):
        return
    counts = Table(box=box.SIMPLE_HEAD)
    counts.add_column("operator")
    counts.add_column("nodes", justify="right")
    for name, count in found.operators.items():
        counts.add_row(name, str(count))
    console.out.print(counts)


def _of_files(found: Inspection | Outline) -> list[tuple[str, str]]:
    beside = f" ({', '.join(found.external_files)})" * bool(found.external_files)
    named = [("model", found.path), ("sha256", found.digest), ("size", f"{found.size_bytes / 1e6:.2f} MB{beside}")]
    return [*named, *([("runs in", _runs_in(found.deployed))] if found.deployed is not None else [])]


def _runs_in(deployed: Deployment) -> str:
    from mlopt.core.foreign_text import as_json, plain

    versions = ", ".join(f"{name} {version}" for name, version in deployed.packages.items())
    options = ", ".join(
        f"{name} {value if isinstance(value, str) else as_json(value)}" for name, value in deployed.options.items()
    )
    return plain(f"{deployed.runtime}{f' ({versions})' if versions else ''}: {options}")


def _outline(found: Outline) -> list[tuple[str, str]]:
    return [
        *_of_files(found),
        ("kind", found.kind),
        *(("input", str(spec)) for spec in found.inputs),
        *(("output", str(spec)) for spec in found.outputs),
        ("graph", found.lacks),
    ]


def _facts(found: Inspection) -> list[tuple[str, str]]:
    return [
        *_of_files(found),
        ("made by", f"{found.producer or 'unknown'}; IR {found.ir_version}, opset {found.opset}"),
        ("extensions", ", ".join(f"{name} {version}" for name, version in found.domains.items()) or "none"),
        *(("input", str(spec)) for spec in found.inputs),
        *(("output", str(spec)) for spec in found.outputs),
        ("parameters", _parameters(found)),
        ("weights", ", ".join(f"{dtype} {size / 1e6:.2f} MB" for dtype, size in found.weights.items()) or "none"),
        ("precision", _precision(found)),
        *_trees(found),
        *_two_of_four(found),
        ("MACs", _macs(found)),
    ]


def _parameters(found: Inspection) -> str:
    if not found.parameters:
        return "none"
    return f"{found.parameters:,} ({', '.join(f'{count:,} {dtype}' for dtype, count in found.values.items())})"


def _trees(found: Inspection) -> list[tuple[str, str]]:
    if (trees := found.trees) is None:
        return []
    return [
        (
            "trees",
            f"{trees.trees:,} of {trees.nodes:,} nodes; one sample takes at most {trees.comparisons:,} comparisons",
        )
    ]


def _precision(found: Inspection) -> str:
    precision = found.precision
    if not precision.total:
        return "no layers of convolutions or products of matrices"
    text = f"{len(precision.integers)} of {precision.total} layers in integers"
    if precision.weight_only:
        text += f", {len(precision.weight_only)} with integer weights alone"
    if precision.integers and precision.floats:
        shown = ", ".join(precision.floats[:_NAMES])
        text += f"; in floating point: {shown}{', ...' * (len(precision.floats) > _NAMES)}"
    return f"{text}; {precision.activations} activations quantized"


def _two_of_four(found: Inspection) -> list[tuple[str, str]]:
    holding = sum(found.two_of_four.values())
    return [("2:4", f"in {holding} of {len(found.two_of_four)} weight matrices")] if holding else []


def _macs(found: Inspection) -> str:
    free = any(found.macs_shapes[spec.name][axis] == 1 for spec in found.inputs for axis in spec.dynamic_axes)
    if found.macs is None:
        return f"unknown: {found.macs_reason}{'; --shape or --data says how large inputs are' * free}"
    if not found.macs:
        return "none: it multiplies no matrices"
    shapes = "; ".join(f"{name} {list(shape)}" for name, shape in found.macs_shapes.items())
    one = any(found.macs_shapes[spec.name][axis] == 1 for spec in found.inputs for axis in spec.dynamic_axes if axis)
    return f"{found.macs:,} ({shapes}{'; --shape or --data gives real sizes' * one})"
