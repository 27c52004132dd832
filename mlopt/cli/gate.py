"""``mlopt gate``: the verdict of a report as an exit code, which is what a CI step wants."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlopt.errors import ExitCode, OutputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from mlopt.report.schema import GateVerdict, Verdict

_SOURCE = "An artifact directory, or a report.json."
_GATES = "YAML with gates to judge instead of those that the report was made with."
_KEY = "The public key that must have signed the artifact; by default it may be unsigned, or signed by others."

_CODES = {"pass": ExitCode.OK, "fail": ExitCode.GATE_FAILED, "inconclusive": ExitCode.INCONCLUSIVE}
_STYLES = {"pass": "green", "fail": "bold red", "inconclusive": "yellow"}


def gate(
    source: Annotated[Path, typer.Argument(metavar="REPORT_OR_ARTIFACT", help=_SOURCE)],
    gates: Annotated[Path | None, typer.Option("--gates", help=_GATES)] = None,
    key: Annotated[Path | None, typer.Option("--key", help=_KEY)] = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML here.")] = None,
    summary: Annotated[Path | None, typer.Option("--summary", help="Append a Markdown table here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """Judge measured evidence against limits: exit 0 if all pass, 1 if one fails, 3 if one cannot be decided."""
    from mlopt import report
    from mlopt.cli import console
    from mlopt.cli.files import write_text
    from mlopt.gate import judge, overall

    note = _check_integrity(source, key)
    evidence = report.read(source)
    verdicts = evidence.gates
    if gates is not None:
        from mlopt.gates_file import load_gates

        verdicts = judge(load_gates(gates), evidence)
    verdict = overall(verdicts)
    if junit is not None:
        write_text(junit, _junit(evidence.name, verdicts))
    if summary is not None:
        _append(summary, _markdown(evidence.name, verdict, verdicts))
    screen = console.err if as_json else console.out
    _show(verdict, verdicts, note, screen)
    if as_json:
        found = [one.model_dump(mode="json") for one in verdicts]
        console.emit_json({"source": str(source), "name": evidence.name, "verdict": verdict, "gates": found})
    raise typer.Exit(_CODES[verdict])


def _check_integrity(source: Path, key: Path | None) -> str | None:
    """Verify a signed artifact as far as a trusted key is at hand; return a note if nobody vouches for the figures.

    Raises ``IntegrityError`` when the artifact is not what was signed.
    """
    from mlopt.artifact.layout import SIGNATURE
    from mlopt.artifact.verify import verify

    if not source.is_dir():
        if key is not None:
            raise typer.BadParameter("only an artifact directory is signed, not a report.json", param_hint="--key")
        return None
    if key is not None or ((source / SIGNATURE).exists() and _signed_by_user(source)):
        verify(source, key)
        return None
    if (source / SIGNATURE).exists():
        return f"not verified: signed with a key that is not yours; mlopt gate {source} --key PUB verifies it"
    return "not verified: the artifact is not signed"


def _signed_by_user(directory: Path) -> bool:
    """Tell whether the user's own key is the one to check with; a signature that names no key counts as theirs."""
    from mlopt.artifact import bundle, keys
    from mlopt.artifact.files import read_capped, reading
    from mlopt.artifact.layout import SIGNATURE
    from mlopt.artifact.verify import MAX_SIGNATURE_BYTES

    own = keys.public_path(keys.user_key_path())
    with reading(directory):
        envelope = bundle.unpack(read_capped(directory, SIGNATURE, MAX_SIGNATURE_BYTES), str(directory / SIGNATURE))
    return own.exists() and envelope.key_id in {None, "", keys.fingerprint(keys.load_public(own))}


def _show(verdict: Verdict, verdicts: Sequence[GateVerdict], note: str | None, screen: Console) -> None:
    from mlopt.report.facts import plain

    for one in verdicts:
        screen.print(f"{one.verdict:<13}", style=_STYLES[one.verdict], end="")
        screen.print(plain(f"{one.metric} {one.limit}"), markup=False)
        screen.print(f"{'':<13}{plain(one.message)}", markup=False)
    if note is not None:
        screen.print(plain(note), markup=False)
    screen.print("verdict      ", end="")
    screen.print(verdict, style=_STYLES[verdict])


def _junit(name: str, verdicts: Sequence[GateVerdict]) -> str:
    """Return JUnit XML with a test case per gate; an undecided gate is an error, a broken one a failure."""
    from xml.etree import ElementTree as ET

    from mlopt.report.facts import plain

    count = {verdict: sum(one.verdict == verdict for one in verdicts) for verdict in _CODES}
    suite = ET.Element(
        "testsuite", name=plain(f"mlopt gate {name}"), tests=str(len(verdicts)), failures=str(count["fail"]),
        errors=str(count["inconclusive"]), skipped="0", time="0",
    )  # fmt: skip
    for one in verdicts:
        title = plain(f"{one.metric} {one.limit}")
        case = ET.SubElement(suite, "testcase", classname=plain(name), name=title, time="0")
        if one.verdict == "pass":
            ET.SubElement(case, "system-out").text = plain(one.message)
        else:
            kind = "failure" if one.verdict == "fail" else "error"
            ET.SubElement(case, kind, type=one.verdict, message=plain(one.message))
    ET.indent(suite)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(suite, encoding="unicode")}\n'


def _markdown(name: str, verdict: Verdict, verdicts: Sequence[GateVerdict]) -> str:
    from mlopt.report.markdown import code, text

    rows = [f"| {one.verdict} | {code(f'{one.metric} {one.limit}')} | {text(one.message)} |" for one in verdicts]
    return "\n".join([f"### {text(name)}: {verdict}", "", "| | gate | evidence |", "|---|---|---|", *rows, "", ""])


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise OutputError(f"the summary cannot be written: {error.strerror}", where=str(path)) from error
