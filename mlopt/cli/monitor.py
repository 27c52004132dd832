"""``mlopt monitor``: live data beside what an artifact was judged on, and the rules that watch it in service."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlopt.cli import signing_options as options
from mlopt.core.errors import ExitCode, OutputError, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlopt.artifact.verify import Verified
    from mlopt.cli.console import Screen
    from mlopt.monitor.judge import Monitored
    from mlopt.sketches import Sketches

_LIVE = "Sketches of what is served: a file, or the URL of a server with an admin token; repeatable, then merged."
_LOG = "Requests and answers instead: an .npz with arrays named after inputs and outputs, or JSON lines."
_REFERENCE = "Compare with the sketches in this file, of a time that was good, instead of the artifact's."
_TOKEN = "File with the server's admin token, else MLOPT_ADMIN_TOKEN."  # noqa: S105
_SKETCH = "Write the live sketches here: a reference for later."
_METRICS = "Write the verdict here, for Prometheus's text file collector."
_RULES = "Write rules for Prometheus and routes for Alertmanager here, from the artifact's evidence."
_SLO = "The limit on latency that the rules watch, such as p99=100ms.  [default: 4 times what was measured]"
_CODES = {"pass": ExitCode.OK, "fail": ExitCode.GATE_FAILED, "inconclusive": ExitCode.INCONCLUSIVE}
_STYLES = {"pass": "green", "fail": "bold red", "inconclusive": "yellow"}
_SHOWN = 10

_File = Path | None


def monitor(
    *,
    artifact: Annotated[Path, typer.Argument(metavar="ARTIFACT", help="The artifact, which is verified first.")],
    live: Annotated[list[str] | None, typer.Option("--live", metavar="FILE|URL", help=_LIVE)] = None,
    log: Annotated[_File, typer.Option("--log", metavar="FILE", help=_LOG)] = None,
    reference: Annotated[_File, typer.Option("--reference", metavar="FILE", help=_REFERENCE)] = None,
    token_file: Annotated[_File, typer.Option("--admin-token-file", metavar="FILE", help=_TOKEN)] = None,
    html: Annotated[_File, typer.Option("--html", metavar="FILE", help="Write a page here.")] = None,
    markdown: Annotated[_File, typer.Option("--markdown", metavar="FILE", help="Write Markdown here.")] = None,
    sketches: Annotated[_File, typer.Option("--sketches", metavar="FILE", help=_SKETCH)] = None,
    metrics: Annotated[_File, typer.Option("--metrics", metavar="FILE", help=_METRICS)] = None,
    rules: Annotated[_File, typer.Option("--rules", metavar="DIR", help=_RULES)] = None,
    slo: Annotated[str | None, typer.Option("--slo", metavar="LIMIT", help=_SLO)] = None,
    target: Annotated[str | None, typer.Option("--target", metavar="HOST:PORT", help="What Prometheus asks.")] = None,
    key: options.PublicKey = None,
    roots: options.Roots = None,
    identity: options.Identity = None,
    issuer: options.Issuer = None,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Hold live data against what an artifact was judged on.

    Exits with 0 if nothing changed, 1 if something did, 3 if there are too few rows to tell.
    """
    from mlopt.artifact.verify import verify
    from mlopt.cli import console
    from mlopt.cli.progress import Progress

    if bool(live) + (log is not None) != 1 and not (rules and not live and log is None):
        raise UserError("say what is live, once", fix="--live FILE|URL, or --log FILE; or --rules DIR alone")
    verified = verify(artifact, options.trust(key, roots, identity, issuer))
    if rules is not None:
        _write_rules(verified, artifact, rules, (slo, target))
    if not live and log is None:
        return
    with Progress(console.err) as progress:
        progress.update("compare")
        found, seen = _monitored(verified, (live or [], log, reference), token_file)
    files = {"html": html, "markdown": markdown, "sketches": sketches, "metrics": metrics}
    _write(verified, found, seen, files)
    _show(found, console.err if json else console.out)
    if json:
        console.emit_json({"name": verified.manifest.name, "digest": verified.root, **found.document()})
    raise typer.Exit(_CODES[found.verdict])


def _monitored(
    verified: Verified, given: tuple[list[str], Path | None, Path | None], token_file: Path | None
) -> tuple[Monitored, Sketches]:
    """Return what was found, and the live sketches."""
    from mlopt.monitor.judge import judge
    from mlopt.monitor.live import read_all, read_given, reference_of
    from mlopt.monitor.requests_log import sketched
    from mlopt.sketches import plan_like

    live, log, other = given
    reference = reference_of(verified) if other is None else read_given(other)
    if log is not None:
        return judge(reference, seen := sketched(log, plan_like(reference), verified.root)), seen
    seen = read_all(live, verified.root, verified.manifest.name, _token(token_file))
    return judge(reference, seen, ranges=other is None), seen


def _token(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get("MLOPT_ADMIN_TOKEN") or None
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError("the token cannot be read", where=str(file), got=str(error)) from error


def _write(verified: Verified, found: Monitored, seen: Sketches, files: Mapping[str, Path | None]) -> None:
    import time

    from mlopt.cli.files import write_text
    from mlopt.monitor import page
    from mlopt.monitor.alerting import metrics

    name, digest = verified.manifest.name, verified.root
    makers = {
        "html": lambda: page.render(name, digest, found),
        "markdown": lambda: page.render_markdown(name, digest, found),
        "sketches": lambda: seen.to_json().decode(),
        "metrics": lambda: metrics(name, digest, found.document(), time.time()),
    }
    for kind, path in files.items():
        if path is not None:
            write_text(path, makers[kind]())


def _write_rules(verified: Verified, artifact: Path, folder: Path, asked: tuple[str | None, str | None]) -> None:
    from mlopt import report as reports
    from mlopt.cli import console
    from mlopt.cli.files import write_text
    from mlopt.monitor.alerting import HEAD, TARGET, files
    from mlopt.monitor.objectives import objectives

    slo, target = asked
    wanted = objectives(reports.read(artifact), verified.manifest.name, verified.root, slo=slo)
    texts = files(wanted, target or TARGET)
    for name in texts:
        path = folder / name
        if path.exists() and not path.read_bytes().startswith(HEAD.encode()):
            raise OutputError("mlopt did not write this file, and does not overwrite it", where=str(path),
                              fix="choose another folder with --rules DIR")  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_text(folder / name, text)
        console.err.print(f"written    {folder / name}")


def _show(found: Monitored, screen: Screen) -> None:
    from mlopt.monitor.page import cells, headline

    screen.print(headline(found))
    told = [one for one in found.findings if one.verdict != "pass"]
    for one in told[:_SHOWN]:
        verdict, what, of, value, limit, message = cells(one)
        bound = f", by chance up to {limit}" if limit else ""
        screen.say(f"{verdict:<13}{of}: {what} {value}{bound}", _STYLES[verdict], len(verdict))
        screen.print(f"{'':<13}{message}")
    if len(told) > _SHOWN:
        screen.print(f"{'':<13}and {len(told) - _SHOWN} more; --json, --html or --markdown has them all")
    for note in found.notes:
        screen.print(f"note         {note}")
    screen.print(f"verdict      {found.verdict}", style=_STYLES[found.verdict])
