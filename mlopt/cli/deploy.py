"""``mlopt deploy``: what an engine needs to serve an artifact, written after the artifact was verified."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlopt.cli import signing_options as options

if TYPE_CHECKING:
    from mlopt.deploy.derived import Goal

_ARTIFACTS = "The artifact, or several, each as NAME=DIR where URLs are to call it otherwise. All are verified first."
_TO = "triton, bentoml, kserve, ray-serve or fastapi."
_OUTPUT = "The new folder to write."
_BATCH = "Rows that requests are joined to, at most.  [default: by the sweep of the report, else as was measured]"
_SLO = "What the service is to keep, such as p99=100ms.  [default: ten times the p99 of one inference]"
_RATE = "Samples per second that all replicas together are to serve."


def deploy(
    *,
    artifacts: Annotated[list[str], typer.Argument(metavar="ARTIFACT...", help=_ARTIFACTS, show_default=False)],
    to: Annotated[str, typer.Option("--to", metavar="ENGINE", help=_TO)],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help=_OUTPUT)],
    slo: Annotated[str | None, typer.Option("--slo", metavar="p99=TIME", help=_SLO)] = None,
    rate: Annotated[float | None, typer.Option("--rate", metavar="N", min=0, help=_RATE)] = None,
    max_batch: Annotated[int | None, typer.Option("--max-batch", metavar="N", min=1, help=_BATCH)] = None,
    key: options.PublicKey = None,
    roots: options.Roots = None,
    identity: options.Identity = None,
    issuer: options.Issuer = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """Write all that an engine needs to serve artifacts.

    Code, configuration, an image and manifests, which need no mlopt. An artifact that is not what was signed is exit 4,
    and nothing is written.
    """
    from mlopt.cli import console
    from mlopt.deploy.run import DeployRequest
    from mlopt.deploy.run import deploy as run
    from mlopt.deploy.table import engine_named

    request = DeployRequest(
        artifacts=tuple(artifacts), engine=engine_named(to), output=output,
        trust=options.trust(key, roots, identity, issuer), goal=_goal(slo, rate, max_batch),
    )  # fmt: skip
    written = run(request)
    _show(written, console.err if as_json else console.out)
    if as_json:
        console.emit_json(written)


def _goal(slo: str | None, rate: float | None, max_batch: int | None) -> Goal:
    from mlopt.deploy.derived import goal_of

    return goal_of(slo, rate, max_batch)


def _show(written: dict[str, Any], screen: Any) -> None:
    for model in written["models"]:
        screen.print(f"model      {model['name']}, version {model['version']}, digest {model['digest']}")
        for name in ("largest_batch", "delay_ms", "instances", "queue_rows", "timeout_ms"):
            figure = model["settings"][name]
            screen.print(f"           {name} {figure['value']:g}: {figure['why']}")
    if written["ensemble"]:
        screen.print(f"ensemble   {written['ensemble']}: {written['ensemble_why']}")
    elif "ensemble_why" in written:
        screen.print(f"ensemble   none: {written['ensemble_why']}")
    screen.print(f"written    {written['output']}: {len(written['files'])} files for {written['engine']}")
    screen.print(f"start it   cd {written['output']}, then as README.md says: {written['start']}")
