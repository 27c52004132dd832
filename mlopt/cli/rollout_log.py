"""``mlopt rollout log`` and ``summary``: what the ledger says, once every line of it holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlopt.cli import rollout_options as shared
from mlopt.cli import signing_options as options
from mlopt.core.errors import ExitCode

if TYPE_CHECKING:
    from mlopt.artifact.signing.base import Trust
    from mlopt.rollout.delivery import DeliveredFigures, DeliveredModel
    from mlopt.rollout.ledger import LedgerContent

_LEDGER = "The ledger, as `mlopt rollout start` and the others write it."
_HEAD = "A head that was printed before: exit 4 unless its line is still there."
_KEYS = "A public key whose lines count; your own if none is named; repeatable."
_ARTIFACT = "An artifact whose report is cited; those that the ledger names if absent; repeatable."
_PRICE = "What an hour of the measured machine costs, in any currency."

Keys = Annotated[list[Path] | None, typer.Option("--ledger-key", metavar="PUB", help=_KEYS)]


def log(
    ledger: Annotated[Path, typer.Argument(metavar="LEDGER", help=_LEDGER)],
    keys: Keys = None,
    head: Annotated[str | None, typer.Option("--head", metavar="SHA256", help=_HEAD)] = None,
    json: shared.AsJson = False,
) -> None:
    """Show what served when and why, if every line holds.

    Exits with 4 where one was changed, removed or put in.
    """
    from mlopt.cli import console
    from mlopt.rollout.ledger import read

    content = read(ledger, trusted(keys))
    _check_head(content, head, ledger)
    if content.torn:
        part = f"{len(content.torn)} bytes are part of a line, whose process was killed while it wrote"
        console.err.print(f"note: the last {part}; the next step puts them aside")
    if json:
        console.emit_json(_log_as_json(content))
        return
    rows: list[tuple[str, ...]] = [("time (UTC)", "step", "", "digest", "serving", "model at target", "why")]
    rows += [_row(each) for each in content.records]
    for line in console.columns(rows, len(rows[0])):
        console.out.print(line)
    console.out.print(f"{len(content.links)} lines hold; head {content.head}")


def trusted(keys: list[Path] | None) -> Trust:
    """Return who may have written a ledger; raises ``OutputError``."""
    from mlopt.artifact.signing.trust import KeyTrust

    return shared.any_of([KeyTrust.of(each) for each in keys or (None,)])


def _check_head(content: LedgerContent, head: str | None, ledger: Path) -> None:
    from mlopt.core.errors import IntegrityError

    if head is not None and head not in {each.digest for each in content.links}:
        raise IntegrityError(
            "a line that was there is not there any more", where=str(ledger), got=f"head {content.head}",
            expected=f"a line of sha256 {head}", fix="look for a copy: its end was cut off, or it is another",
        )  # fmt: skip


def _row(record: Any) -> tuple[str, ...]:
    from mlopt.core.foreign_text import plain

    shares = record.before if record.phase == "begun" else record.after
    serving = " ".join(f"{digest[:8]} {share.weight} %" for digest, share in shares.items() if share.weight) or "-"
    phase = "" if record.phase == "done" else record.phase
    place = plain(f"{record.model} at {record.target}")
    return record.time, record.step, phase, record.digest[:12], serving, place, plain(record.why)[:200]


def _log_as_json(content: LedgerContent) -> dict[str, Any]:
    from mlopt.rollout.chain import digest_of

    torn = {"bytes": len(content.torn), "sha256": digest_of(content.torn)} if content.torn else None
    lines = [
        {**each.record.model_dump(mode="json"), "signer": each.signer, "sha256": each.digest} for each in content.links
    ]
    return {"head": content.head, "lines": lines, "torn": torn}


def summary(
    *,
    ledger: Annotated[Path, typer.Argument(metavar="LEDGER", help=_LEDGER)],
    artifacts: Annotated[list[Path] | None, typer.Option("--artifact", metavar="DIR", help=_ARTIFACT)] = None,
    price: Annotated[float | None, typer.Option("--price-per-hour", metavar="PRICE", min=0, help=_PRICE)] = None,
    key: options.PublicKey = None,
    roots: options.Roots = None,
    identity: options.Identity = None,
    issuer: options.Issuer = None,
    keys: Keys = None,
    json: shared.AsJson = False,
) -> None:
    """Sum a delivery up, by ledger and reports.

    Says what serves, and what it takes against the source. Exits with 3 where a model has no evidence at hand.
    """
    from dataclasses import asdict
    from functools import partial

    from mlopt.artifact.verify import verify
    from mlopt.cli import console
    from mlopt.rollout.delivery import delivered
    from mlopt.rollout.ledger import read

    check = partial(verify, trust=options.trust(key, roots, identity, issuer))
    found = delivered(read(ledger, trusted(keys)).records, artifacts or (), check, price)
    if json:
        console.emit_json({"models": [asdict(each) for each in found]})
    else:
        for each in found:
            _show(each)
    if not found or any(each.no_evidence for each in found):
        raise typer.Exit(ExitCode.INCONCLUSIVE)


def _show(one: DeliveredModel) -> None:
    from mlopt.cli import console
    from mlopt.core.foreign_text import plain

    version = "" if one.version is None else f", version {one.version}"
    console.out.print(f"{plain(one.model)} at {plain(one.target)}")
    console.out.print(f"  serves     {one.digest}{version}, since {one.since}")
    cut = "; the last step was cut off" if one.unfinished else ""
    console.out.print(f"  steps      {one.steps}, of these {one.rollbacks} back{cut}")
    if one.source is None or one.shipped is None:
        console.out.print(f"  evidence   none: {plain(one.no_evidence or '')}")
        return
    ci95 = f" ({one.speedup_ci95[0]:.2f} to {one.speedup_ci95[1]:.2f})" if one.speedup_ci95 else ""
    console.out.print(f"  speedup    {one.speedup:.2f}x{ci95}, measured on {plain(one.cpu or '')}")
    rows: list[tuple[str, ...]] = [
        ("", "p50 ms", "p95 ms", "per second", "MB", "peak MB", "hours per million", "cost per million")
    ]
    rows += [_cells("source", one.source), _cells("shipped", one.shipped)]
    for line in console.columns(rows, 1):
        console.out.print(f"  {line}")


def _cells(label: str, one: DeliveredFigures) -> tuple[str, ...]:
    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value:.3g}"

    return (
        label, shown(one.p50_ms), shown(one.p95_ms), shown(one.throughput_per_s), shown(one.size_bytes / 1e6),
        shown(one.peak_rss_bytes / 1e6), shown(one.hours_per_million), shown(one.cost_per_million),
    )  # fmt: skip
