"""``mlopt serve``: verified artifacts behind the Open Inference Protocol, on this machine, until a signal ends it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlopt.cli import signing_options as options
from mlopt.core.errors import ExitCode, UserError

if TYPE_CHECKING:
    from mlopt.serve.run import ServerStarted

_ARTIFACTS = (
    "Artifacts, each of which is verified first. NAME=ARTIFACT serves it as NAME; several of one name are versions of "
    "one model."
)
_HOST = "Where to listen. Anything but loopback can be reached by others."
_PORT = "0 takes any that is free."
_BATCH = "Rows that requests are joined to, at most.  [default: by the report's sweep]"
_DELAY = "How long a request waits for others, in ms.  [default: by the report's latency, where it has a sweep]"
_QUEUE = "Rows that may wait; more get 503.  [default: by the report's throughput]"
_DEADLINE = "For requests without the header mlopt-timeout-ms; later is 504.  [default: by the report's p99]"
_BODY = "Larger requests get 413."
_WEIGHTS = "Percent of the requests for each version, in their order: digits=90,10.  [default: all to the first]"
_SHADOW = "Percent of the requests that a version is asked, too, in the background: digits=0,20."
_FALLBACK = "After N failures in a row of a version the one before it takes over; 0 is never."
_CACHE = "Keep answers to equal inputs, in so many MiB; 0 keeps none."
_TOKEN = "File with the token of the admin API; else MLOPT_ADMIN_TOKEN. Without one there is no such API."  # noqa: S105
_SKETCH = "Sketch requests and answers, for mlopt monitor; the admin API gives the sketches."
_REPOSITORY = "A folder below which the admin API may load artifacts; can be given several times."
_DELAY_DRAIN = "Seconds for which requests are still taken after readiness went, for proxies that look now and then."
_TIMEOUT_DRAIN = "Seconds that accepted requests may take to be answered when the server leaves."


def serve(
    *,
    artifacts: Annotated[list[str], typer.Argument(metavar="[NAME=]ARTIFACT...", help=_ARTIFACTS)],
    host: Annotated[str, typer.Option("--host", help=_HOST)] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help=_PORT)] = 8000,
    max_batch: Annotated[int | None, typer.Option("--max-batch", metavar="N", min=1, help=_BATCH)] = None,
    max_delay_ms: Annotated[float | None, typer.Option("--max-delay-ms", metavar="MS", min=0, help=_DELAY)] = None,
    queue: Annotated[int | None, typer.Option("--queue", metavar="ROWS", min=1, help=_QUEUE)] = None,
    deadline_ms: Annotated[float | None, typer.Option("--deadline-ms", metavar="MS", min=1, help=_DEADLINE)] = None,
    max_body_mb: Annotated[float, typer.Option("--max-body-mb", metavar="MIB", min=0.001, help=_BODY)] = 64.0,
    weights: Annotated[list[str] | None, typer.Option("--weights", metavar="NAME=W,W", help=_WEIGHTS)] = None,
    shadow: Annotated[list[str] | None, typer.Option("--shadow", metavar="NAME=P,P", help=_SHADOW)] = None,
    fallback: Annotated[int, typer.Option("--fallback", metavar="N", min=0, help=_FALLBACK)] = 0,
    cache_mb: Annotated[float, typer.Option("--cache-mb", metavar="MIB", min=0, help=_CACHE)] = 0.0,
    admin_token_file: Annotated[Path | None, typer.Option("--admin-token-file", metavar="FILE", help=_TOKEN)] = None,
    sketch: Annotated[bool, typer.Option("--sketch", help=_SKETCH)] = False,
    repository: Annotated[list[Path] | None, typer.Option("--repository", metavar="DIR", help=_REPOSITORY)] = None,
    drain_delay: Annotated[float, typer.Option("--drain-delay", metavar="S", min=0, help=_DELAY_DRAIN)] = 0.0,
    drain_timeout: Annotated[float, typer.Option("--drain-timeout", metavar="S", min=0, help=_TIMEOUT_DRAIN)] = 30.0,
    key: options.PublicKey = None,
    roots: options.Roots = None,
    identity: options.Identity = None,
    issuer: options.Issuer = None,
    json: Annotated[bool, typer.Option("--json", help="Print what is served as JSON.")] = False,
) -> None:
    """Serve artifacts over HTTP, by the Open Inference Protocol.

    SIGTERM ends it in order: no new requests, every accepted one is answered, then exit 0; 1 if some took too long.
    """
    import os

    from mlopt.serve.extra import check_extra

    check_extra()
    if sketch:
        from mlopt.sketches import check_installed

        check_installed()
    from mlopt.cli import console
    from mlopt.serve.derived import AskedLimits
    from mlopt.serve.request import ServeRequest
    from mlopt.serve.run import serve as run
    from mlopt.serve.token import token_from

    request = ServeRequest(
        artifacts=tuple(map(_named, artifacts)), trust=options.trust(key, roots, identity, issuer), host=host,
        port=port, limits=AskedLimits(max_batch, max_delay_ms, queue, deadline_ms),
        weights=_percents("--weights", weights), shadow=_percents("--shadow", shadow), fallback_after=fallback,
        cache_bytes=int(cache_mb * 2**20), max_body=int(max_body_mb * 2**20),
        token=token_from(admin_token_file, os.environ), repositories=tuple(repository or ()),
        sketch=sketch, drain_delay_s=drain_delay, drain_timeout_s=drain_timeout,
    )  # fmt: skip
    ended = run(request, lambda found: _told(found, json=json))
    if ended.unanswered:
        console.err.print(f"left: {ended.unanswered} accepted requests were not answered in time")
        raise typer.Exit(ExitCode.GATE_FAILED)
    console.err.print("left: every accepted request was answered")


def _told(started: ServerStarted, *, json: bool) -> None:
    import sys

    from mlopt.cli import console

    screen = console.err if json else console.out
    for each in started.models:
        screen.print(
            f"{each['model']}  version {each['version']} in {each['runtime']}, {each['weight']:g} % of the requests"
        )  # fmt: skip
        screen.print(f"  digest     {each['digest']}")
        for why in each["why"]:
            screen.print(f"  {why}")
    admin = ", with the admin API" if started.admin else ""
    screen.print(f"listening on {started.url}{admin}")
    if json:
        console.emit_json({"url": started.url, "admin": started.admin, "models": list(started.models)})
    sys.stdout.flush()


def _named(given: str) -> tuple[str | None, Path]:
    """Return name and place; what exists as it is written is a place."""
    name, equals, place = given.partition("=")
    if not equals or Path(given).exists():
        return None, Path(given)
    return name, Path(place)


def _percents(option: str, given: list[str] | None) -> dict[str, tuple[float, ...]]:
    found = {}
    for each in given or ():
        name, _, percents = each.partition("=")
        try:
            found[name] = tuple(float(one) for one in percents.split(","))
        except ValueError as error:
            raise UserError(
                "this is no list of percents", where=option, got=each, expected="such as digits=90,10"
            ) from error  # fmt: skip
    return found
