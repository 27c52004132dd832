"""``mlopt rollout envoy-config``: a bootstrap for an Envoy whose shares a rollout changes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlopt.core.errors import UserError

_STABLE = "HOST:PORT of a server that has all requests in the beginning; repeatable."
_CANARY = "HOST:PORT of a server for the next candidate; repeatable."
_LISTEN = "Where requests come in."
_ADMIN = "Where the admin interface is: it has no password, so leave it on this machine."
_TIMEOUT = "Seconds for a whole request, tries again included."
_BYTES = "The largest request that is kept to be sent again, in MiB."


def envoy_config(
    *,
    stable: Annotated[list[str], typer.Option("--stable", metavar="HOST:PORT", help=_STABLE)],
    canary: Annotated[list[str], typer.Option("--canary", metavar="HOST:PORT", help=_CANARY)],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write, for envoy -c.")],
    listen: Annotated[str, typer.Option("--listen", metavar="HOST:PORT", help=_LISTEN)] = "127.0.0.1:8080",
    admin: Annotated[str, typer.Option("--admin", metavar="HOST:PORT", help=_ADMIN)] = "127.0.0.1:9901",
    timeout: Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=0.1, help=_TIMEOUT)] = 10.0,
    retries: Annotated[int, typer.Option("--retries", min=0, max=20, help="Tries again, at most.")] = 5,
    max_connections: Annotated[int, typer.Option("--max-connections", min=1, help="To each cluster.")] = 256,
    max_pending: Annotated[
        int, typer.Option("--max-pending", min=1, help="Requests that wait, to each cluster.")
    ] = 256,
    max_request_mib: Annotated[int, typer.Option("--max-request-mib", min=1, max=1024, help=_BYTES)] = 32,
) -> None:
    """Write a whole configuration for Envoy.

    Two clusters whose shares a rollout changes, and what keeps a bad one from hurting.
    """
    from mlopt.cli import console
    from mlopt.cli.files import write_text
    from mlopt.rollout.envoy_config import CLUSTERS, EnvoySettings, bootstrap

    given = dict(zip(CLUSTERS, (stable, canary), strict=True))
    settings = EnvoySettings(
        hosts={name: tuple(map(_place, hosts)) for name, hosts in given.items()},
        listen=_place(listen), admin=_place(admin), timeout_s=timeout, retries=retries,
        max_connections=max_connections, max_pending=max_pending, max_request_bytes=max_request_mib << 20,
    )  # fmt: skip
    write_text(output, bootstrap(settings))
    console.err.print(f"wrote {output}")
    console.err.print(f"next: envoy -c {output}; `mlopt rollout start ARTIFACT --via envoy --at http://{admin}`")


def _place(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UserError("this is no place that a server listens at", got=text, expected="HOST:PORT")
    return host, int(port)
