"""A delivery in one page: which models serve by the ledger, and what their evidence says against the source.

Every figure is one of the ledger or of a signed report; what neither has is left out, and named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from mlopt.artifact.layout import Role
from mlopt.artifact.verify import Verified
from mlopt.core.errors import MloptError
from mlopt.results.report import CandidateRecord, Report
from mlopt.rollout import history
from mlopt.rollout.chain import RolloutRecord

_MILLION = 1_000_000


@dataclass(frozen=True)
class DeliveredFigures:
    """One side of the comparison, as the report has it."""

    name: str
    p50_ms: float | None
    p95_ms: float | None
    throughput_per_s: float
    size_bytes: int
    peak_rss_bytes: int
    hours_per_million: float
    """Hours of the measured machine that a million inferences take at that throughput."""
    cost_per_million: float | None
    """Those hours at the price that was given."""


@dataclass(frozen=True)
class DeliveredModel:
    """One model at one target."""

    target: str
    model: str
    digest: str
    """What serves, or was the last to be given all or most of the traffic."""
    version: int | None
    since: str
    steps: int
    rollbacks: int
    unfinished: bool
    source: DeliveredFigures | None = None
    shipped: DeliveredFigures | None = None
    speedup: float | None = None
    speedup_ci95: tuple[float, float] | None = None
    cpu: str | None = None
    no_evidence: str | None = None
    """Why there are no figures."""


def delivered(
    records: Iterable[RolloutRecord],
    artifacts: Iterable[Path],
    check: Callable[[Path], Verified],
    price_per_hour: float | None = None,
) -> tuple[DeliveredModel, ...]:
    """Return every model of a ledger; ``check`` verifies an artifact, and one that fails is not cited.

    Artifacts are those given, else those that the ledger names.
    """
    every, given = tuple(records), tuple(artifacts)
    places = dict.fromkeys((each.target, each.model) for each in every if each.step != "tag")
    return tuple(_model(history.of(every, *place), given, check, price_per_hour) for place in places)


def _model(
    records: tuple[RolloutRecord, ...], artifacts: tuple[Path, ...], check: Callable[[Path], Verified],
    price: float | None,
) -> DeliveredModel:  # fmt: skip
    done = [each for each in records if each.phase == "done" and each.step in {"start", "promote", "rollback"}]
    latest = done[-1] if done else records[-1]
    shares = latest.after if done else latest.before
    digest = max(shares, key=lambda each: shares[each].weight, default=latest.digest)
    known = history.artifact_of(records, digest)
    found, reason = _evidence(artifacts or ((Path(known),) if known else ()), digest, check)
    base = DeliveredModel(
        latest.target, latest.model, digest, shares[digest].version if digest in shares else None,
        since=_since(done, digest) or latest.time, steps=len(done),
        rollbacks=sum(each.step == "rollback" for each in done),
        unfinished=history.unfinished(records) is not None, no_evidence=reason,
    )  # fmt: skip
    return base if found is None else _with_figures(base, found, price)


def _since(done: list[RolloutRecord], digest: str) -> str | None:
    """Return when the digest became the one with the most traffic."""
    time = None
    for each in reversed(done):
        if max(each.after, key=lambda one: each.after[one].weight, default=None) != digest:
            break
        time = each.time
    return time


def _evidence(
    artifacts: Iterable[Path], digest: str, check: Callable[[Path], Verified]
) -> tuple[Report | None, str | None]:
    from mlopt import report

    reason = "no artifact is at hand: name it with --artifact DIR"
    for each in artifacts:
        try:
            verified = check(each)
        except MloptError as error:
            reason = f"{each}: {error.brief}"
            continue
        if verified.root == digest:
            return report.read(verified.directory / verified.manifest.file_of(Role.REPORT)), None
        reason = f"{each}: it is another one, {verified.root[:12]}"
    return None, reason


def _with_figures(base: DeliveredModel, found: Report, price: float | None) -> DeliveredModel:
    from dataclasses import replace

    return replace(
        base, source=_figures(found.baseline, price), shipped=_figures(found.final, price),
        speedup=found.speedup.median, speedup_ci95=found.speedup.ci95, cpu=found.environment.cpu.model,
    )  # fmt: skip


def _figures(one: CandidateRecord, price: float | None) -> DeliveredFigures:
    hours = _MILLION / one.throughput_per_s / 3600
    return DeliveredFigures(
        one.name, one.latency_ms.p50, one.latency_ms.p95, one.throughput_per_s, one.size_bytes,
        one.peak_rss_bytes, hours_per_million=hours, cost_per_million=None if price is None else hours * price,
    )  # fmt: skip
