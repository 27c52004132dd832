"""``mlopt tune``: search for the best recipe under the gates, and end with its artifact."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlopt.cli.duration import duration
from mlopt.cli.runtime_option import ForTarget, Overrides, Threads, with_runtime
from mlopt.cli.signing_options import Chain, Keyless, PassphraseFile, PrivateKey, chosen_key, signer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlopt.cli.progress import Progress
    from mlopt.tune.asked import Asked, StudyResult
    from mlopt.tune.record import SpaceOutlook
    from mlopt.tune.study import MakeExecutor

_SOURCE = "What to tune, as of optimize: a recipe (.yaml), a model, or a folder of one."
_BUDGET = "The time of the whole study, the artifact included, of all its runs together: 20m, 2h."
_STUDY = "The folder of the study, in which the same command goes on. [default: NAME.study beside the artifact]"
_ONLY = "Vary only parameters whose names begin so; may be given again. --dry-run lists the names."
_SWEEP = "Tune each recipe of a pattern, such as 'recipes/*.yaml' in quotes, with a budget of its own."
_RAY = "Do the trials on this cluster of Ray, which is there already (extra `ray`; docs/ray.md)."
_EXPORT = "Write the best recipe to this file, beside the one that was tuned."


def tune(
    *,
    source: Annotated[Path | None, typer.Argument(metavar="RECIPE_OR_MODEL", help=_SOURCE)] = None,
    data: Annotated[Path | None, typer.Option("--data", help="For a model, as in optimize.")] = None,
    budget: Annotated[float | None, typer.Option("--budget", metavar="TIME", parser=duration, help=_BUDGET)] = 1200.0,
    trials: Annotated[int | None, typer.Option("--trials", min=1, help="The most trials.")] = None,
    only: Annotated[list[str] | None, typer.Option("--only", metavar="NAME", help=_ONLY)] = None,
    exhaustive: Annotated[bool, typer.Option("--exhaustive", help="Try every point, in order.")] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Orders what is drawn at random.")] = 0,
    sweep: Annotated[str | None, typer.Option("--sweep", metavar="PATTERN", help=_SWEEP)] = None,
    study: Annotated[Path | None, typer.Option("--study", metavar="DIR", help=_STUDY)] = None,
    ray: Annotated[str | None, typer.Option("--ray", metavar="HOST:PORT", help=_RAY)] = None,
    export: Annotated[Path | None, typer.Option("--export", metavar="FILE", help=_EXPORT)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the space and the first points; try none.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The artifact, as of optimize.")] = None,
    overrides: Overrides = None,
    runtime: ForTarget = "",
    threads: Threads = None,
    key: PrivateKey = None,
    passphrase_file: PassphraseFile = None,
    chain: Chain = None,
    keyless: Keyless = False,
    sign: Annotated[bool, typer.Option("--sign/--no-sign", help="Sign the artifact.")] = True,
    allow_ungated: Annotated[bool, typer.Option(help="Sign even if the gates did not pass; recorded.")] = False,
    allow_code: Annotated[bool, typer.Option(help="Run the Python that the recipe names, or TorchScript.")] = False,
    allow_pickle: Annotated[bool, typer.Option(help="Read weights out of a pickle, as in optimize.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the study as JSON on standard output.")] = False,
) -> None:
    """Search passes, settings and runtimes for the best recipe."""
    from mlopt.artifact.signing import keys, passphrase
    from mlopt.cli.settings import load
    from mlopt.run.request import Request
    from mlopt.tune.asked import Asked

    named = chosen_key(key) or passphrase_file or chain or keyless or keys.has_user_key()
    who = signer(key, passphrase_file, chain, keyless) if sign and named and not dry_run else None
    if not sign:
        passphrase.forget()
    _check_alone(source, sweep, [study, export, output, data])
    request = Request(
        source=source or Path(), data=data, output=output, folder=load().output or Request.folder,
        overrides=with_runtime(overrides, runtime, threads), signer=who, sign=sign, allow_ungated=allow_ungated,
        allow_code=allow_code, allow_pickle=allow_pickle,
    )  # fmt: skip
    asked = Asked(request, study, budget, trials, only=tuple(only or ()), exhaustive=exhaustive, seed=seed)
    if sweep is not None:
        _sweep(asked, sweep, ray, json=json)
    elif dry_run:
        _foresee(asked, json=json)
    else:
        _run(asked, export, ray, json=json)


def _check_alone(source: Path | None, sweep: str | None, of_one: Sequence[Path | None]) -> None:
    """Refuse what says neither or both, and with several recipes what is about one."""
    from mlopt.core.errors import UserError

    if (source is None) == (sweep is None):
        raise UserError(
            "there is nothing to tune" if source is None else "one recipe is named, and a pattern of several",
            expected="RECIPE_OR_MODEL, or --sweep PATTERN", fix="mlopt tune recipe.yaml --budget 10m",
        )  # fmt: skip
    if sweep is not None and any(each is not None for each in of_one):
        raise UserError(
            "--study, --export, --output and --data are about one recipe", got=f"--sweep {sweep}",
            fix="leave them out: each recipe has its artifact and study under its own name",
        )  # fmt: skip


def _sweep(asked: Asked, pattern: str, ray: str | None, *, json: bool) -> None:
    """Tune a fleet, and end with a line for each and the worst of their codes."""
    from mlopt.cli.console import columns, emit_json, err, out
    from mlopt.cli.progress import Progress
    from mlopt.core.errors import ExitCode
    from mlopt.tune.sweep import recipes, sweep

    paths, found = recipes(pattern), []
    with Progress(err) as progress, redirect_stdout(sys.stderr):
        for each in sweep(asked, paths, lambda one: _tuned(one, progress, ray)):
            found.append(each)
            progress.say(f"{each.recipe}: {each.told}")
    if json:
        emit_json([each.as_json() for each in found])
    for line in columns([("recipe", "result"), *((str(each.recipe), each.told) for each in found)], 2):
        (err if json else out).print(line)
    raise typer.Exit(max((each.exit_code for each in found), default=int(ExitCode.OK)))


def _where(ray: str | None) -> MakeExecutor:
    """Return what makes the executor: this process's, or a cluster's."""
    from mlopt.tune.study import local

    if ray is None:
        return local
    from mlopt.tune.ray_study import on_cluster

    return on_cluster(ray)


def _foresee(asked: Asked, *, json: bool) -> None:
    from mlopt.cli.console import emit_json, err, out
    from mlopt.cli.progress import Progress
    from mlopt.tune.study import outlook

    with Progress(err) as progress, redirect_stdout(sys.stderr):
        progress.update("reading")
        found = outlook(asked)
    if json:
        emit_json({
            "parameters": [each.model_dump(mode="json") for each in found.parameters], "points": found.points,
            "first": [{"params": point, "origin": origin} for point, origin in found.first],
        })  # fmt: skip
    else:
        for line in _space(found):
            out.print(line)


def _space(found: SpaceOutlook) -> list[str]:
    """Return the space as text: a line for each parameter, and what would be tried first."""
    from mlopt.cli.console import columns

    rows = [("parameter", "means something with", "values, the recipe's own first")]
    for each in found.parameters:
        when = ", ".join(f"{name} {'/'.join(map(_text, values))}" for name, values in each.when.items())
        rows.append((each.name, when, ", ".join(map(_text, each.values))))
    points = "more than are worth counting" if found.points is None else f"{found.points:,}"
    lines = [*columns(rows, 3), "", f"points: {points}; tried first:"]
    own = found.first[0][0]
    for number, (point, origin) in enumerate(found.first, 1):
        changed = ", ".join(f"{name} {_text(told)}" for name, told in point.items() if own.get(name) != told)
        lines.append(f"{number:>3}  {origin}: {changed or 'the recipe as it is'}")
    return lines


def _text(value: object) -> str:
    """Return a value as one reads it."""
    words = {id(True): "on", id(False): "off", id(None): "-"}
    return words.get(id(value), str(value))


def _run(asked: Asked, export: Path | None, ray: str | None, *, json: bool) -> None:
    from mlopt.cli.console import emit_json, err
    from mlopt.cli.files import write_text
    from mlopt.cli.progress import Progress
    from mlopt.report.study import to_json

    _check_export(asked.request.source, export)
    with Progress(err) as progress, redirect_stdout(sys.stderr):
        progress.update("start")
        tuned = _tuned(asked, progress, ray)
    if export is not None:
        write_text(export, tuned.recipe)
    _show(tuned, export, to_stderr=json)
    if json:
        import json as reading

        emit_json(reading.loads(to_json(tuned.study)))
    raise typer.Exit(tuned.artifact.exit_code)


def _tuned(asked: Asked, progress: Progress, ray: str | None) -> StudyResult:
    """Run a study, and write its page."""
    from mlopt.report.study import write
    from mlopt.tune.study import run

    found = run(asked, progress.update, progress.say, _where(ray))
    write(found.study, found.folder, found.recipe)
    return found


def _show(tuned: StudyResult, export: Path | None, *, to_stderr: bool) -> None:
    from mlopt.cli.console import err, out
    from mlopt.cli.summary import show
    from mlopt.report.study import PAGE_FILE, told

    screen, artifact = err if to_stderr else out, tuned.artifact
    show(artifact.report, screen)
    for line in told(tuned.study):
        screen.print(line)
    screen.print(f"study     {tuned.folder / PAGE_FILE}")
    screen.print(f"report    {artifact.path / 'report.html'}")
    screen.print(f"artifact  {artifact.path}{'' if artifact.signed else '  (not signed)'}")
    if export is not None:
        screen.print(f"recipe    {export}")
    for line in artifact.messages:
        screen.print(line)


def _check_export(source: Path, export: Path | None) -> None:
    """Refuse before the long work what could not be run after it."""
    from mlopt.cli.files import check_beside
    from mlopt.recipe.sources import recipe_in

    if export is None:
        return
    tuned = (recipe_in(source) if source.is_dir() else None) or source
    check_beside(tuned, export, "--export")
