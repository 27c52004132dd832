"""``mlopt gate``: the verdict of a report as an exit code and as the files that CI systems read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlopt.cli import gate_scrape
from mlopt.cli import signing_options as options
from mlopt.cli.gate_option import Limits, read_gates
from mlopt.cli.table_format import Format, Json, TableFormat, chosen, emit
from mlopt.core.errors import ExitCode, OutputError, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlopt.artifact.signing.base import Trust
    from mlopt.cli.console import Screen
    from mlopt.gate.limits import Gate
    from mlopt.results.report import GateVerdict, Report

_SOURCE = "An artifact directory or a report.json; or a server's metrics: a URL, or a file of Prometheus text."
_GATES = "YAML with gates; they and --gate are judged instead of those that the report was made with."
_BASELINE = "What gates with `vs: baseline` compare with: an artifact or report.json; of metrics an earlier scrape."
_MODEL = "Of a scrape, judge this model alone; repeatable. [default: each by itself, and the worst verdict counts]"
_KEY = "The public key that must have signed the artifact; without any signer named, it may be unsigned, or others'."
_ANNOTATIONS = "Print GitHub annotations.  [default: on in GitHub Actions, unless --json or --format]"

_CODES = {"pass": ExitCode.OK, "fail": ExitCode.GATE_FAILED, "inconclusive": ExitCode.INCONCLUSIVE}
_STYLES = {"pass": "green", "fail": "bold red", "inconclusive": "yellow"}

_HEADS = ("verdict", "gate", "found")
_FIGURES = ("verdict", "metric", "limit", "value", "low", "high", "confidence", "n", "message")

_Output = Path | None


def gate(
    *,
    given: Annotated[str, typer.Argument(metavar="REPORT_OR_ARTIFACT", help=_SOURCE)],
    limits: Limits = None,
    gates: Annotated[Path | None, typer.Option("--gates", help=_GATES)] = None,
    baseline: Annotated[Path | None, typer.Option("--baseline", help=_BASELINE)] = None,
    model: Annotated[list[str] | None, typer.Option("--model", metavar="NAME", help=_MODEL)] = None,
    key: Annotated[Path | None, typer.Option("--key", help=_KEY)] = None,
    roots: options.Roots = None,
    identity: options.Identity = None,
    issuer: options.Issuer = None,
    junit: Annotated[_Output, typer.Option("--junit", help="Write JUnit XML here.")] = None,
    summary: Annotated[_Output, typer.Option("--summary", help="Append Markdown here.")] = None,
    annotations: Annotated[bool | None, typer.Option("--annotations/--no-annotations", help=_ANNOTATIONS)] = None,
    metrics: Annotated[_Output, typer.Option("--metrics", help="Write OpenMetrics text here.")] = None,
    chart: Annotated[_Output, typer.Option("--action-benchmark", help="Write github-action-benchmark JSON.")] = None,
    bencher: Annotated[_Output, typer.Option("--bencher", help="Write Bencher Metric Format JSON here.")] = None,
    badge: Annotated[_Output, typer.Option("--badge", help="Write a shields.io endpoint badge here.")] = None,
    format_: Format = TableFormat.TEXT,
    json: Json = False,
) -> None:
    """Judge measured figures against limits.

    Exits with 0 if all pass, 1 if one fails, 3 if one cannot be decided.
    """
    from mlopt.cli import console
    from mlopt.report.ci import github

    wanted = chosen(format_, json)
    files = {"junit": junit, "metrics": metrics, "action-benchmark": chart, "bencher": bencher, "badge": badge}
    if gate_scrape.is_scrape(given):
        gate_scrape.refuse({f"--{name}": value for name, value in {**files, "summary": summary, "key": key}.items()})
        asked, _ = read_gates(limits, gates, given=())
        found = gate_scrape.judged(given, asked, baseline, model or ())
        raise typer.Exit(_CODES[gate_scrape.show(given, found, wanted)])
    if model:
        raise gate_scrape.only_of_a_scrape(model)
    source = Path(given)
    note = _check_integrity(source, options.trust(key, roots, identity, issuer))
    evidence = _judged(source, limits, gates, baseline)
    _write_files(evidence, files)
    if summary is not None:
        _append_summary(evidence, summary)
    as_text = wanted is TableFormat.TEXT
    _show(evidence, note, console.out if as_text else console.err)
    if annotations or (annotations is None and as_text and os.environ.get("GITHUB_ACTIONS") == "true"):
        console.emit_commands(github.annotate(evidence, _below_the_repository()))
    if wanted is TableFormat.JSON:
        console.emit_json(_plain(evidence, source))
    elif wanted is TableFormat.MD:
        emit(wanted, _HEADS, [(one.verdict, f"{one.metric} {one.limit}", one.message) for one in evidence.gates])
    elif wanted is TableFormat.CSV:
        emit(wanted, _FIGURES, map(_figures, evidence.gates))
    raise typer.Exit(_CODES[evidence.verdict])


def _plain(evidence: Report, source: Path) -> dict[str, Any]:
    from mlopt.report.advice import sentences

    told = zip(evidence.gates, sentences(evidence), strict=True)
    found = [one.model_dump(mode="json") | ({"advice": more} if more else {}) for one, more in told]
    return {"source": str(source), "name": evidence.name, "verdict": evidence.verdict, "gates": found}


def _figures(one: GateVerdict) -> tuple[str, ...]:
    """Return a verdict's row with its figures in full: what is not known is empty."""
    low, high = one.interval or one.ci95 or (None, None)
    figures = ("" if each is None else f"{each:.10g}" for each in (one.value, low, high, one.confidence, one.n))
    return one.verdict, one.metric, one.limit, *figures, one.message


def _below_the_repository() -> Path | None:
    """Return this folder as GitHub names it: from the repository's checkout on. None if it lies elsewhere."""
    checkout = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd()).resolve()
    here = Path.cwd().resolve()
    return here.relative_to(checkout) if here.is_relative_to(checkout) else None


def _judged(source: Path, limits: list[str] | None, gates: Path | None, baseline: Path | None) -> Report:
    """Return the report with the verdicts that count: its own, or those on the gates that are given."""
    from mlopt import report
    from mlopt.gate.judge import judge, overall
    from mlopt.gate.limits import BASELINE
    from mlopt.recipe.gate_places import placed
    from mlopt.recipe.gates_file import places_in

    evidence = report.read(source)
    verdicts = evidence.gates
    if limits or gates is not None:
        wanted, stored = read_gates(limits, gates, given=evidence.speedups)
        if baseline is not None:
            stored[BASELINE] = report.read(baseline)
        judged = judge(wanted, evidence, samples=_samples(wanted, evidence, source), baselines=stored)
        verdicts = placed(judged, places_in(gates)) if gates is not None else judged
    elif baseline is not None:
        raise UserError(
            "--baseline goes with --gate or --gates: the gates in the report were judged when it was made",
            fix="such as --gate 'speedup.median >= 0.97 vs baseline'",
        )
    return evidence.model_copy(update={"gates": verdicts, "verdict": overall(verdicts)})


def _samples(gates: Sequence[Gate], evidence: Report, source: Path) -> dict[str, list[list[float]]] | None:
    """Read the raw samples beside the report where a gate asks for a confidence that the report has no interval for."""
    from mlopt.report import read_blocks

    file = (source if source.is_dir() else source.parent) / Path(evidence.final.raw).name
    if all(gate.confidence == 0.95 for gate in gates) or not file.is_file():
        return None
    return read_blocks(file)


def _write_files(evidence: Report, files: Mapping[str, Path | None]) -> None:
    from mlopt.cli.files import write_text
    from mlopt.report.ci import action_benchmark, badge, bencher, junit, openmetrics

    formats = {
        "junit": junit.render, "metrics": openmetrics.render, "action-benchmark": action_benchmark.render,
        "bencher": bencher.render, "badge": badge.render,
    }  # fmt: skip
    for name, path in files.items():
        if path is not None:
            write_text(path, formats[name](evidence))


def _append_summary(evidence: Report, path: Path) -> None:
    """Append to a summary that steps share, as far as GitHub's limit leaves room in it."""
    from mlopt.cli import console
    from mlopt.report.ci import github

    try:
        with path.open("ab") as file:
            before = file.tell() if file.seekable() else 0
            written = file.write(github.summary(evidence, github.SUMMARY_LIMIT - before).encode())
    except OSError as error:
        raise OutputError(f"the summary cannot be written: {error.strerror}", where=str(path)) from error
    if not written:
        console.err.print(f"{path} is full: GitHub shows at most 1 MiB for each step")


def _show(evidence: Report, note: str | None, screen: Screen) -> None:
    from mlopt.core.foreign_text import plain
    from mlopt.report.advice import sentences
    from mlopt.report.ci import accepted_undecided, title

    for one, advised in zip(evidence.gates, sentences(evidence), strict=True):
        style = _STYLES["inconclusive" if accepted_undecided(one) else one.verdict]
        screen.say(f"{one.verdict:<13}{title(one)}", style, len(one.verdict))
        for words in (one.message, *advised):
            screen.print(f"{'':<13}{plain(words)}")
    if note is not None:
        screen.print(plain(note))
    screen.print(f"verdict      {evidence.verdict}", style=_STYLES[evidence.verdict])


def _check_integrity(source: Path, trust: Trust | None) -> str | None:
    """Verify a signed artifact as far as somebody is trusted; return a note if nobody vouches for the figures.

    Raises ``IntegrityError`` when the artifact is not what was signed.
    """
    from mlopt.artifact.files import read_capped, reading
    from mlopt.artifact.layout import SIGNATURE
    from mlopt.artifact.signing import bundle, keys
    from mlopt.artifact.signing.base import UnknownSignerError
    from mlopt.artifact.verify import MAX_SIGNATURE_BYTES, verify

    if not source.is_dir():
        if trust is not None:
            hint = "--key, --root or --identity"
            raise typer.BadParameter("only an artifact directory is signed, not a report.json", param_hint=hint)
        return None
    if trust is None and not (source / SIGNATURE).exists():
        return "not verified: the artifact is not signed"
    stranger = (
        f"not verified: signed with a key that is not yours; mlopt gate {source} --key PUB, or --root PEM, verifies it"
    )
    if trust is None and not keys.public_path(keys.user_key_path()).exists():
        with reading(source):  # nobody is trusted, but what is damaged is damaged
            bundle.unpack(read_capped(source, SIGNATURE, MAX_SIGNATURE_BYTES), str(source / SIGNATURE))
        return stranger
    try:
        verify(source, trust)
    except UnknownSignerError:
        if trust is not None:
            raise
        return stranger
    return None
