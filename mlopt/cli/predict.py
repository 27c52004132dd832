"""``mlopt predict``: an artifact over a whole data set, in shards; what a kill leaves undone, the same command does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlopt.cli import signing_options as options
from mlopt.core.errors import ExitCode, UserError

if TYPE_CHECKING:
    from rich.console import Console

    from mlopt.predict.crew import Crew

_DATA = (
    "A .npz file whose arrays are named after the inputs (first axis = rows), a folder of .npy files so named, a "
    "folder of images, or a .jsonl file of texts."
)
_OUTPUT = "A folder for the predictions. The same command goes on where it was ended, and does damaged shards anew."
_SHARD_ROWS = "Rows that are computed and written at a time.  [default: about a 64th of all]"
_BATCH = "Rows in one inference.  [default: as the artifact was measured]"
_WORKERS = "Processes.  [default: the cores, by the threads that were measured]"
_RAY = "Compute on a cluster of Ray that is there already (HOST:PORT); its nodes share data and DIR at one path."
_MAX_ERRORS = "Stop when more rows have failed. What was done is kept."
_SHOWN = 3


def predict(
    *,
    artifact: Annotated[Path, typer.Argument(metavar="ARTIFACT", help="The artifact, which is verified first.")],
    data: Annotated[Path, typer.Option("--data", metavar="PATH", help=_DATA)],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help=_OUTPUT)],
    shard_rows: Annotated[int | None, typer.Option("--shard-rows", metavar="N", min=1, help=_SHARD_ROWS)] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", metavar="N", min=1, help=_BATCH)] = None,
    workers: Annotated[int | None, typer.Option("--workers", metavar="N", min=1, help=_WORKERS)] = None,
    ray: Annotated[str | None, typer.Option("--ray", metavar="ADDRESS", help=_RAY)] = None,
    max_errors: Annotated[int, typer.Option("--max-errors", metavar="N", min=0, help=_MAX_ERRORS)] = 100,
    key: options.PublicKey = None,
    roots: options.Roots = None,
    identity: options.Identity = None,
    issuer: options.Issuer = None,
    json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Run an artifact over a data set of any size.

    Exits with 0 when every row was predicted, and with 1 when rows failed: errors.jsonl says which, and why.
    """
    from mlopt.cli import console
    from mlopt.cli.progress import Progress

    if ray and workers:
        raise UserError("--workers and --ray contradict each other", fix="a cluster has as many as it has room for")
    with Progress(console.err) as progress, _crew(ray) as crew:
        progress.update("start")
        from mlopt.predict.run import PredictRequest, predict

        request = PredictRequest(
            artifact=artifact, data=data, output=output, trust=options.trust(key, roots, identity, issuer),
            shard_rows=shard_rows, batch_size=batch_size, workers=workers, max_errors=max_errors, crew=crew,
        )  # fmt: skip
        summary = predict(request, progress.update)
    _show(summary, console.err if json else console.out)
    if json:
        console.emit_json(summary)
    if summary["failed"] or summary["state"] != "complete":
        raise typer.Exit(ExitCode.GATE_FAILED)


@contextmanager
def _crew(address: str | None) -> Iterator[Callable[[int], Crew] | None]:
    """Join the cluster, if one is named; raises ``UserError`` where that cannot be done, before any work."""
    if address is None:
        yield None
        return
    from mlopt.predict.on_ray import RayCrew
    from mlopt.tune.ray_joining import joined

    with joined(address):
        yield RayCrew


def _show(summary: dict[str, Any], screen: Console) -> None:
    from mlopt.predict import errors

    output = Path(summary["output"])
    screen.print(f"predicted  {summary['predicted']:,} of {summary['rows']:,} rows{_speed(summary)}")
    screen.print(f"cpu        {summary['cpu_hours']:.4f} hours of the workers, user and system")
    if summary["shards_kept"]:
        damaged = f"; {summary['shards_damaged']} were damaged and done again" if summary["shards_damaged"] else ""
        screen.print(f"kept       {summary['shards_kept']} shards that were done before{damaged}")
    if summary["not_finite"]:
        screen.print(f"not finite {summary['not_finite']:,} rows have NaN or infinity in an output")
    if summary["failed"]:
        screen.print(f"failed     {summary['failed']:,} rows: {output / summary['errors']}")
        for row, message in list(errors(output).items())[:_SHOWN]:
            screen.print(f"           row {row}: {message}")
    for note in summary["notes"]:
        screen.print(f"note       {note}")
    if summary["state"] != "complete":
        most = summary["max_errors"]
        screen.print(f"stopped    more than {most} rows failed; the same command with a larger --max-errors goes on")
    screen.print(f"written    {output}")


def _speed(summary: dict[str, Any]) -> str:
    rate = summary["rows_per_s"]
    return "" if rate is None else f", {rate:,.1f} rows/s, {summary['workers']} workers, {summary['seconds']:,.1f} s"
