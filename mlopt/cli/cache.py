"""``mlopt cache``: what is kept, why a step would run again, and cleaning up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlopt.cli.runtime_option import ForTarget, Overrides, Threads, with_runtime
from mlopt.cli.table_format import Format, Json, TableFormat, chosen, emit

app = typer.Typer(help="See, explain and clean the cache.", no_args_is_help=True)


@app.command("ls")
def ls(format_: Format = TableFormat.TEXT, json: Json = False) -> None:
    """List what the cache holds, the latest used first."""
    from datetime import UTC, datetime

    from rich.table import Table

    from mlopt.cli.console import emit_json, out
    from mlopt.core.cache import Store, default_root, size_of
    from mlopt.core.foreign_text import plain

    wanted = chosen(format_, json)
    store = Store(default_root())
    rows = [
        (group, entry.label, size_of(entry.path), datetime.fromtimestamp(entry.path.stat().st_mtime, UTC), entry.path)
        for group, entry in store.entries()
    ]
    if wanted is TableFormat.JSON:
        emit_json([
            {"group": group, "label": label, "size_bytes": size, "used": used.isoformat(), "path": str(path)}
            for group, label, size, used, path in rows
        ])  # fmt: skip
        return
    heads = ("used (UTC)", "size", "what", "fingerprint")
    cells = [
        (f"{used:%Y-%m-%d %H:%M}", f"{size / 1e6:.1f} MB", f"{group}  {plain(label)}", path.name[:12])
        for group, label, size, used, path in rows
    ]
    if wanted is not TableFormat.TEXT:
        emit(wanted, heads, cells)
        return
    table = Table(box=None, pad_edge=False, title=f"{store.root}", title_justify="left")
    for name in heads:
        table.add_column(name, justify="right" if name == "size" else "left")
    for row in cells:
        table.add_row(*row)
    out.print(table)
    out.print(f"{len(rows)} entries, {sum(row[2] for row in rows) / 1e6:.1f} MB")


@app.command("explain")
def explain(
    *,
    recipe: Annotated[Path, typer.Argument(help="The recipe, or a bare .onnx model.")],
    data: Annotated[Path | None, typer.Option("--data", help="For a bare model, as in optimize.")] = None,
    overrides: Overrides = None,
    runtime: ForTarget = "",
    threads: Threads = None,
    format_: Format = TableFormat.TEXT,
    json: Json = False,
) -> None:
    """Say for every step whether it would run, and what changed since it last did."""
    from mlopt.cli.outlook import show
    from mlopt.run.forecast import foresee
    from mlopt.run.request import Request

    request = Request(
        source=recipe,
        data=data,
        overrides=with_runtime(overrides, runtime, threads),
        allow_code=True,
        allow_pickle=True,
    )
    steps, _ = foresee(request)
    show(steps, chosen(format_, json))


@app.command("gc")
def gc(
    days: Annotated[float, typer.Option(help="Remove what was not used for so many days.", min=0)] = 30.0,
    max_gb: Annotated[float | None, typer.Option(help="Then remove the oldest beyond this size.", min=0)] = None,
) -> None:
    """Remove old entries."""
    from mlopt.cli.console import out
    from mlopt.core.cache import Store, default_root

    count, freed = Store(default_root()).gc(days, None if max_gb is None else int(max_gb * 1e9))
    out.print(f"removed {count} entries, {freed / 1e6:.1f} MB")
