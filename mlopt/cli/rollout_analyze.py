"""``mlopt rollout analyze``: the candidate beside what serves, by live counts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlopt.cli import rollout_options as shared
from mlopt.cli import signing_options as options
from mlopt.cli.duration import duration as seconds
from mlopt.cli.rollout_options import LEDGER, TargetKind
from mlopt.core.errors import ExitCode

if TYPE_CHECKING:
    from mlopt.rollout.analysis import CanaryAnalysis

_FOR = "How long to look at most; it ends as soon as the counts decide."
_EVERY = "How often to look."
_ACT = "Roll back what fails, and promote what passes."
_ERRORS = "Share of requests that may fail more than of those to what serves."
_SLOWER = "Times as slow that it may be, at p50, p95 and p99."
_DIFFERENT = "Share of compared answers that may differ."
_PROBE = "Ask both versions these rows at each look, and compare: a .npz file, arrays named after the inputs."
_TOLERANCE = "How far apart two answers may be, as a share of the serving one's size; with --probe."
_ALPHA = "How often an equal candidate may fail, all looks together."


def analyze(
    *,
    at: shared.At,
    via: shared.Via = TargetKind.EMBEDDED,
    duration: Annotated[str, typer.Option("--for", metavar="TIME", help=_FOR)] = "60s",
    every: Annotated[str, typer.Option("--every", metavar="TIME", help=_EVERY)] = "5s",
    act: Annotated[bool, typer.Option("--act", help=_ACT)] = False,
    errors: Annotated[float, typer.Option("--max-errors", metavar="SHARE", min=0, max=1, help=_ERRORS)] = 0.01,
    slower: Annotated[float, typer.Option("--max-slower", metavar="TIMES", min=1, help=_SLOWER)] = 1.5,
    different: Annotated[float, typer.Option("--max-different", metavar="SHARE", min=0, max=1, help=_DIFFERENT)] = 0.01,
    alpha: Annotated[float, typer.Option("--alpha", metavar="SHARE", min=1e-6, max=0.5, help=_ALPHA)] = 0.01,
    probe: Annotated[Path | None, typer.Option("--probe", metavar="FILE", help=_PROBE)] = None,
    tolerance: Annotated[float, typer.Option("--tolerance", metavar="SHARE", min=0, help=_TOLERANCE)] = 0.05,
    digest: shared.ForDigest = None,
    model: shared.Model = None,
    token_file: shared.TokenFile = None,
    ledger: shared.Ledger = LEDGER,
    sign_key: shared.SignKey = None,
    passphrase_file: options.PassphraseFile = None,
    ledger_keys: shared.LedgerKeys = None,
    json: shared.AsJson = False,
) -> None:
    """Compare the candidate with what serves, while both do.

    Exits with 0 when it is as good, 1 when it is worse, 3 when the counts cannot tell yet.
    """
    from mlopt.cli import console
    from mlopt.cli.progress import Progress
    from mlopt.rollout.analysis import Watching
    from mlopt.rollout.analysis import analyze as analyzing
    from mlopt.rollout.comparison import CanaryLimits
    from mlopt.rollout.probe import AnswerProbe

    book = shared.book(ledger, sign_key, passphrase_file, ledger_keys)
    target = shared.target(via, at, shared.known_model(book, via, at, model), token_file)
    rows = AnswerProbe.of(probe, tolerance) if probe is not None else None
    limits = CanaryLimits(errors=errors, slower=slower, different=different, alpha=alpha)
    with Progress(console.err) as progress:
        watching = Watching(
            seconds(duration), seconds(every), act=act, digest=digest, probe=rows, notify=progress.update
        )
        found = analyzing(target, book, limits, watching)
    if json:
        console.emit_json(_as_json(found))
    _show(found, act, console.err if json else console.out)
    if found.verdict != "pass":
        raise typer.Exit(ExitCode.GATE_FAILED if found.verdict == "fail" else ExitCode.INCONCLUSIVE)


def _show(found: CanaryAnalysis, act: bool, screen: Any) -> None:
    from mlopt.rollout.traffic import told

    screen.print(f"candidate  {found.candidate[:12]} beside {found.stable[:12]}, {found.seconds:.0f} s")
    for each in found.findings:
        screen.print(each.text)
    if not found.compared:
        screen.print(
            "note       no answers were compared: --probe asks both; `start --mirror` lets `mlopt serve` compare"
        )
    if found.restarts:
        screen.print(f"note       a server began anew {found.restarts} times meanwhile")
    screen.print(f"looks      {found.looks}, after {found.spent} before: each has less of the error rate than the last")
    screen.print(f"verdict    {found.verdict}")
    if found.acted is not None:
        screen.print(f"{found.acted.step:<10} {told(found.acted.after)}")
    elif found.held:
        screen.print("held       not promoted")
    elif found.verdict != "inconclusive" and not act:
        verb = "rollback" if found.verdict == "fail" else "promote"
        screen.print(f"next       mlopt rollout {verb}; --act does it by itself")


def _as_json(found: CanaryAnalysis) -> dict[str, Any]:
    import math

    def finite(value: float | None) -> float | None:
        return value if value is not None and math.isfinite(value) else None

    findings = [
        {"metric": each.metric, "verdict": each.verdict, "value": finite(each.value),
         "interval": [finite(each.interval[0]), finite(each.interval[1])], "limit": each.limit, "n": each.n}
        for each in found.findings
    ]  # fmt: skip
    return {
        "verdict": found.verdict, "candidate": found.candidate, "stable": found.stable, "findings": findings,
        "looks": found.looks, "looks_before": found.spent, "seconds": found.seconds, "restarts": found.restarts,
        "answers_compared": found.compared, "acted": found.acted.step if found.acted else None, "held": found.held,
    }  # fmt: skip
