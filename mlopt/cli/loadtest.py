"""``mlopt loadtest``: a server under load that does not wait for it, judged by the limits of its service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlopt.cli import signing_options as options
from mlopt.cli.duration import duration
from mlopt.cli.gate_option import Limits
from mlopt.core.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlopt.cli.console import Screen
    from mlopt.gate.limits import Gate
    from mlopt.results.serving import LoadTestRecord

_TARGET = (
    "A server of the Open Inference Protocol v2 (http://HOST:PORT[/v2/models/NAME]), or an artifact to serve here."
)
_SLO = "The limits of the service: p50, p95 and p99 with a time, error_rate with a share."
_RATE = "Requests a second, sent whatever becomes of those before."
_SECONDS = "How long: 30s, 5m."
_ARTIFACT = "What should be served: its name, its answers and its digest are compared with the server's."
_DATA = "Samples, as of predict: .npz, a folder of .npy files or of images, .jsonl. Made up without this and --recipe."
_RECIPE = "The recipe that the artifact was made with: samples of its evaluation data, in place of --data."
_CODE = "Run the recipe's Python, if that makes its data."
_AGAINST = "The address of another server: requests go to both in turn, each at --rate."
_RAMP = "Search the highest rate that keeps the limits, from --rate on."
_MAX_RATE = "The highest rate that is tried.  [default: 64 times --rate]"
_IN_FLIGHT = "Requests under way at a time, at most; what cannot be sent then is an error."
_OUTPUT = "Write loadtest.json, .html and .md into this folder."
_CODES = {"pass": ExitCode.OK, "fail": ExitCode.GATE_FAILED, "inconclusive": ExitCode.INCONCLUSIVE}
_STYLES = {"pass": "green", "fail": "bold red", "inconclusive": "yellow"}


def loadtest(
    *,
    target: Annotated[str, typer.Argument(metavar="URL_OR_ARTIFACT", help=_TARGET)],
    rate: Annotated[float, typer.Option("--rate", metavar="N", min=0.01, max=100_000.0, help=_RATE)],
    seconds: Annotated[float, typer.Option("--seconds", metavar="TIME", parser=duration, help=_SECONDS)] = 30.0,
    slo: Annotated[str | None, typer.Option("--slo", metavar="p99=100ms,...", help=_SLO)] = None,
    gate: Limits = None,
    artifact: Annotated[Path | None, typer.Option("--artifact", metavar="DIR", help=_ARTIFACT)] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="The model, if the URL has none.")
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", metavar="PATH", help=_DATA)] = None,
    recipe: Annotated[Path | None, typer.Option("--recipe", metavar="FILE", help=_RECIPE)] = None,
    allow_code: Annotated[bool, typer.Option("--allow-code", help=_CODE)] = False,
    samples: Annotated[int, typer.Option("--samples", min=1, max=10_000, help="Different requests, at most.")] = 64,
    batch: Annotated[int, typer.Option("--batch", min=1, max=10_000, help="Rows in a request.")] = 1,
    against: Annotated[str | None, typer.Option("--against", metavar="URL", help=_AGAINST)] = None,
    ramp: Annotated[bool, typer.Option("--ramp", help=_RAMP)] = False,
    max_rate: Annotated[float | None, typer.Option("--max-rate", metavar="N", min=0.01, help=_MAX_RATE)] = None,
    max_time: Annotated[float, typer.Option(metavar="TIME", parser=duration, help="Of the search, at most.")] = 300.0,
    constant: Annotated[bool, typer.Option("--constant", help="At equal distances, not as a Poisson stream.")] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws the moments, and who is asked what.")] = 0,
    timeout: Annotated[
        float, typer.Option(metavar="S", min=0.01, max=600.0, help="Seconds until a request fails.")
    ] = 10.0,
    max_in_flight: Annotated[int, typer.Option("--max-in-flight", min=1, max=20_000, help=_IN_FLIGHT)] = 256,
    key: options.PublicKey = None,
    roots: options.Roots = None,
    identity: options.Identity = None,
    issuer: options.Issuer = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="DIR", help=_OUTPUT)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Put load on a server, and judge it by its limits.

    Says the latencies, the errors by kind and, with --ramp, the highest rate that keeps the limits.
    Latencies count from when a request was to be sent. Wrong answers are failures. With limits, exits with 0, 1 or 3 as
    mlopt gate does; with 3, too, if the load could not be put on as asked.
    """
    from mlopt.cli import console
    from mlopt.cli.progress import Progress
    from mlopt.loadtest import files
    from mlopt.loadtest.from_recipe import RecipeSamples
    from mlopt.loadtest.request import LoadRequest
    from mlopt.loadtest.run import run

    if output is not None:
        files.check_folder(output)
    request = LoadRequest(
        target=target, rate=rate, seconds=seconds, against=against, artifact=artifact, model=model, data=data,
        recipe=RecipeSamples(recipe, allow_code) if recipe is not None else None, samples=samples, batch=batch,
        constant=constant, seed=seed, gates=_gates(slo, gate), ramp=ramp, max_rate=max_rate, max_time=max_time,
        time_limit_s=timeout, max_in_flight=max_in_flight,
        trust=options.trust(key, roots, identity, issuer), trusted=options.trusted_words(key, roots, identity, issuer),
    )  # fmt: skip
    with Progress(console.err) as progress:
        record = run(request, progress.update)
    _show(record, console.err if json else console.out)
    if output is not None:
        files.write(record, output)
    if json:
        console.emit_json(files.document(record))
    if record.verdict is not None:
        raise typer.Exit(_CODES[record.verdict])


def _gates(slo: str | None, lines: Iterable[str] | None) -> tuple[Gate, ...]:
    from mlopt.cli.gate_option import read_gates
    from mlopt.loadtest.slo import parse_slo

    stated, _ = read_gates(lines, None, ())
    return (*(parse_slo(slo) if slo is not None else ()), *stated)


def _show(record: LoadTestRecord, screen: Screen) -> None:
    from mlopt.core.foreign_text import plain
    from mlopt.loadtest import words

    screen.print(words.headline(record))
    for table in _tables(record):
        screen.print()
        for line in table:
            screen.print(line)
    screen.print()
    for label, value in words.account(record):
        screen.print(f"{label:<13}{value}")
    for note in record.notes:
        screen.print(f"{'note':<13}{plain(note)}")
    for gate in record.gates:
        head = f"{gate.verdict:<13}{plain(f'{gate.metric} {gate.limit}')}"
        screen.say(head, _STYLES[gate.verdict], len(gate.verdict))
        screen.print(f"{'':<13}{plain(gate.message)}")
    for reason in words.reasons(record):
        screen.print(f"{'':<13}{reason}")
    if record.verdict is not None:
        screen.print(f"verdict      {record.verdict}", style=_STYLES[record.verdict])


def _tables(record: LoadTestRecord) -> Iterable[Iterable[str]]:
    from mlopt.cli.console import columns
    from mlopt.loadtest import words

    yield columns([words.LATENCY_HEADS, *words.latencies(record.figures)], 1)
    if record.figures.errors:
        yield columns([words.ERROR_HEADS, *words.errors(record.figures)], 3)
    if record.comparison is not None:
        yield columns([words.DIFFERENCE_HEADS, *words.differences(record.comparison.differences)], 1)
    if record.ramp is not None:
        yield columns([words.RAMP_HEADS, *words.ramp(record.ramp.steps)], len(words.RAMP_HEADS))
