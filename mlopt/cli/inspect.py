"""``mlopt inspect``: what is in a model or an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mlopt.inspection import Inspection


def inspect(
    model: Annotated[Path, typer.Argument(metavar="MODEL_OR_ARTIFACT", help="An .onnx file or an artifact.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a model's inputs, outputs, operators, weights and arithmetic."""
    from dataclasses import asdict

    from mlopt.cli import console
    from mlopt.inspection import inspect_model

    found = inspect_model(model)
    if as_json:
        console.emit_json(asdict(found))
    else:
        _show(found)


def _show(found: Inspection) -> None:
    from rich import box
    from rich.table import Table

    from mlopt.cli import console

    facts = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    facts.add_column(no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in _facts(found):
        facts.add_row(f"[bold]{name}[/]", value)
    console.out.print(facts)
    counts = Table(box=box.SIMPLE_HEAD)
    counts.add_column("operator")
    counts.add_column("nodes", justify="right")
    for name, count in found.operators.items():
        counts.add_row(name, str(count))
    console.out.print(counts)


def _facts(found: Inspection) -> list[tuple[str, str]]:
    from rich.markup import escape

    quantized, computing = found.quantized
    rows = [
        ("model", found.path),
        ("sha256", found.digest),
        (
            "size",
            f"{found.size_bytes / 1e6:.2f} MB" + (f" ({', '.join(found.external_files)})" * bool(found.external_files)),
        ),
        ("made by", f"{found.producer or 'unknown'}; IR {found.ir_version}, opset {found.opset}"),
        ("extensions", ", ".join(f"{name} {version}" for name, version in found.domains.items()) or "none"),
        *(("input", str(spec)) for spec in found.inputs),
        *(("output", str(spec)) for spec in found.outputs),
        ("parameters", f"{found.parameters:,}"),
        ("weights", ", ".join(f"{dtype} {size / 1e6:.2f} MB" for dtype, size in found.weights.items()) or "none"),
        ("quantized", f"{quantized} of {computing} convolutions and matrix products"),
        ("MACs", "unknown" if found.macs is None else f"{found.macs:,} (dynamic dimensions = 1)"),
    ]
    return [(name, escape(value)) for name, value in rows]
