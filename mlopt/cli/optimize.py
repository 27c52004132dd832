"""``mlopt optimize``: run everything, and end with what came out."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from mlopt.cli.duration import duration
from mlopt.cli.runtime_option import ForTarget, Overrides, Threads, with_runtime
from mlopt.cli.signing_options import Chain, Keyless, PassphraseFile, PrivateKey, chosen_key, signer

_SOURCE = "A recipe (.yaml), an .onnx or TorchScript model, or a folder with a recipe or a Hugging Face model in it."
_DATA = (
    "For a model without a recipe: an .npz whose arrays are named after the inputs (first axis = samples), a folder of "
    "images, or a .jsonl file of texts."
)
_OUTPUT = "[default: artifacts/NAME, or NAME in the folder of the settings]"
_QUICK = "A few minutes: smaller searches, shorter measuring. The report and the claims say so."
_BUDGET = "The most that searches, retries and measuring may take: 5m, 90s. The report says what was left out."
_CLOBBER = "Replace an artifact that is there already, counting its version on."
_PICKLE = "Read weights out of a pickle (.pt, .pth, .bin, .ckpt): tensors only, no code in it runs."


def optimize(
    *,
    source: Annotated[Path, typer.Argument(metavar="RECIPE_OR_MODEL", help=_SOURCE)],
    data: Annotated[Path | None, typer.Option("--data", help=_DATA)] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help=_OUTPUT)] = None,
    overrides: Overrides = None,
    runtime: ForTarget = "",
    threads: Threads = None,
    key: PrivateKey = None,
    passphrase_file: PassphraseFile = None,
    chain: Chain = None,
    keyless: Keyless = False,
    sign: Annotated[bool, typer.Option("--sign/--no-sign", help="Sign the artifact.")] = True,
    allow_ungated: Annotated[bool, typer.Option(help="Sign even if the gates did not pass; recorded.")] = False,
    cache: Annotated[bool, typer.Option("--cache/--no-cache", help="Reuse what did not change.")] = True,
    allow_code: Annotated[bool, typer.Option(help="Run the Python that the recipe names, or TorchScript.")] = False,
    allow_pickle: Annotated[bool, typer.Option(help=_PICKLE)] = False,
    quick: Annotated[bool, typer.Option("--quick", help=_QUICK)] = False,
    budget: Annotated[float | None, typer.Option("--budget", metavar="TIME", parser=duration, help=_BUDGET)] = None,
    clobber: Annotated[bool, typer.Option("--clobber/--no-clobber", help=_CLOBBER)] = True,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON on standard output.")] = False,
) -> None:
    """Optimize a model: passes, measurement, verdict, artifact."""
    from mlopt.artifact.signing import keys, passphrase
    from mlopt.cli.console import emit_json, err, out
    from mlopt.cli.progress import Progress
    from mlopt.cli.settings import load
    from mlopt.run.request import Request

    named = chosen_key(key) or passphrase_file or chain or keyless or keys.has_user_key()
    who = signer(key, passphrase_file, chain, keyless) if sign and named else None
    if not sign:
        passphrase.forget()
    request = Request(
        source=source, data=data, output=output, folder=load().output or Request.folder,
        overrides=with_runtime(overrides, runtime, threads), signer=who, sign=sign, allow_ungated=allow_ungated,
        use_cache=cache, allow_code=allow_code, allow_pickle=allow_pickle, quick=quick, time_limit=budget,
        clobber=clobber,
    )  # fmt: skip
    with Progress(err) as progress, redirect_stdout(sys.stderr):  # a recipe's metric may print
        progress.update("start")
        from mlopt.run.optimize import execute  # may take seconds where disks are slow, so it is shown

        artifact = execute(request, progress.update, progress.say)
    from mlopt.cli.summary import show, show_spent

    screen = err if json else out
    show(artifact.report, screen)
    show_spent(artifact.took, screen)
    screen.print(f"report    {artifact.path / 'report.html'}")
    screen.print(f"artifact  {artifact.path}{'' if artifact.signed else '  (not signed)'}")
    for line in artifact.messages:
        screen.print(line)
    if json:
        emit_json(artifact.report.model_dump(mode="json", by_alias=True))
    raise typer.Exit(artifact.exit_code)
