"""What nobody has done yet for an artifact that is to serve, each with the command that does it.

A command that makes the artifact again is the one by which the report says that it was made, from the same folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from mlopt.artifact.claims import PREDICATES
from mlopt.artifact.layout import Role
from mlopt.core.check import Check
from mlopt.core.packages import install_command
from mlopt.deploy.assessment.subject import AssessedArtifact
from mlopt.deploy.contents import ServedContent
from mlopt.deploy.derived import late, sweep_points
from mlopt.report import facts
from mlopt.sketches import SKETCHES, installed

_BATCHES = (1, 4, 16)
_MOST_RATE, _LEAST_RATE = 100.0, 0.01
"""Requests per second that a first load test begins with; its search goes on from there."""
_FEW = 300
"""With fewer samples what is wrong in one of a hundred rows is more often than one time in twenty in none of them."""
_QUALITY = ("accuracy.", "fidelity.")


def gaps(found: AssessedArtifact) -> Iterator[Check]:
    """Yield what is missing in the artifact and its evidence; whether it was tried in service is asked elsewhere."""
    yield from _gates(found)
    yield from _samples(found)
    yield from _haste(found)
    yield from _tail(found)
    if found.content is not None:
        yield from _sweep(found, found.content)
    yield from _sketches(found)
    yield from _claims(found)
    yield from _signer(found)


def no_load_test(found: AssessedArtifact, content: ServedContent, folder: Path) -> Check:
    """Say that no server with this artifact has been under load, and how it is put there."""
    rate = max(_LEAST_RATE, min(_MOST_RATE, content.settings.rate_per_replica.value / 2))
    limit = f"p99={_milliseconds(content.settings.slo_ms.value)}ms"
    asked = f"--rate {facts.exact(rate)} --slo {limit} --ramp -o {quote(str(folder))}"
    command = f"mlopt loadtest {found.asked.words} {asked}"
    return Check("load test", "note", "what a replica can do is an estimate until a server was under load", command)


def no_rollout(found: AssessedArtifact, ledger: Path) -> Check:
    """Say that no ledger knows this artifact, and how it is brought up beside what serves."""
    server = "--at http://127.0.0.1:8000 --token-file token"
    command = f"mlopt rollout start {found.asked.words} {server} --mirror 20 --ledger {quote(str(ledger))}"
    return Check("ledger", "note", f"{ledger} says nothing of it: there is no way back by digest yet", command)


def _milliseconds(value: float) -> str:
    """Return a time as options take it: no more digits than can be read, and never 0."""
    return f"{value:.0f}" if value >= 10 else f"{max(value, 0.01):.2f}"


def _gates(found: AssessedArtifact) -> Iterator[Check]:
    report, words = found.report, found.asked.words
    _, tail = late(report.final.latency_ms)
    judge = f"mlopt gate {words} --gate 'latency.p99_ms <= {_milliseconds(2 * tail)}'"
    if not report.gates:
        yield Check("gates", "note", "nothing was asked of it: write `gates` into the recipe, or judge it now", judge)
    elif not any(gate.metric.startswith(_QUALITY) for gate in report.gates):
        said = "no gate is on accuracy or fidelity: nothing says that its answers are good enough"
        known = report.final.fidelity is not None
        fix = f"mlopt gate {words} --gate 'fidelity.cosine >= 0.99'" if known else f"add one, then: {found.again()}"
        yield Check("gate on quality", "note", said, fix)


def _samples(found: AssessedArtifact) -> Iterator[Check]:
    count = found.report.data.get("evaluation", {}).get("samples")
    if type(count) is not int or count >= _FEW:
        return
    share = 1 - 0.05 ** (1 / max(count, 1))
    unseen = f"what is wrong in {100 * share:.2g} % of all rows is in none of them one time in 20"
    fix = f"more rows in `data.evaluation`, then: {found.again()}"
    yield Check("samples", "note", f"{count} for the evaluation: {unseen}", fix)


def _haste(found: AssessedArtifact) -> Iterator[Check]:
    effort = found.report.effort
    if effort is not None and effort.quick:
        said = "made with --quick: intervals are wide, and searches found less"
        yield Check("effort", "note", said, found.again(without="--quick"))


def _tail(found: AssessedArtifact) -> Iterator[Check]:
    latency = found.report.final.latency_ms
    if latency.p99 is None:
        why = latency.reasons.get("p99", "it was not measured")
        yield Check(
            "p99", "note", f"{why}: settings go by {late(latency)[0]}", f"a longer `measure`, then: {found.again()}"
        )


def _sweep(found: AssessedArtifact, content: ServedContent) -> Iterator[Check]:
    if not content.batches or sweep_points(found.report, content.options.threads):
        return
    sizes = sorted({*_BATCHES, found.report.final.batch_size or 1})
    said = "which batch is worth waiting for is not known: settings go by the one that was measured"
    yield Check("batch sweep", "note", said, found.again("--set", f"measure.batch_sizes={sizes}"))


def _sketches(found: AssessedArtifact) -> Iterator[Check]:
    if SKETCHES in found.verified.files:
        return
    first = "" if installed() else f"{install_command('monitor')} && "
    said = "no sketches of the data that it was judged on: `mlopt monitor` has nothing to compare with"
    yield Check("sketches", "note", said, f"{first}{found.again()}")


def _claims(found: AssessedArtifact) -> Iterator[Check]:
    claimed = {each.predicate_type for each in found.verified.claims}
    missing = [name for name, uri in PREDICATES.items() if uri not in claimed]
    if missing and Role.RECIPE in found.manifest.files.values():
        said = f"its signer states no {', '.join(missing)}"
        own = found.asked.signed_as == "own key"
        command = f"mlopt attest {found.asked.place}"
        yield Check("claims", "note", said, command if own else f"ask the signer for: {command}")


def _signer(found: AssessedArtifact) -> Iterator[Check]:
    if found.asked.signed_as != "own key":
        return
    said = "signed with your own key alone: where it serves, nobody knows that key"
    allow = "" if found.manifest.verdict == "pass" else " --allow-ungated"
    command = f"mlopt sign {found.asked.place} --keyless{allow}"
    yield Check("signer", "note", said, f"{command}; or bring your .pub there, for `mlopt verify DIR --key PUB`")
