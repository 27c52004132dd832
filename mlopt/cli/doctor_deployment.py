"""What ``mlopt doctor --deployment ARTIFACT`` finds: whether it can be deployed, what is known, and what is missing."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopt.core.check import Check, CheckGroup
from mlopt.core.errors import MloptError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlopt.deploy.assessment.subject import AssessedArtifact, AssessmentRequest, SignedAs
    from mlopt.results.serving import LoadTestRecord
    from mlopt.rollout.chain import RolloutRecord


@dataclass(frozen=True)
class ServiceFiles:
    """Where earlier work on a service lies, if there was any."""

    loadtest: Path
    """The folder of `mlopt loadtest -o`."""
    ledger: Path


def signed_as(key: Path | None, roots: Path | None, identity: str | None) -> SignedAs:
    """Return what kind of signature these options believe."""
    if key is not None:
        return "key"
    if roots is not None:
        return "certificate"
    return "own key" if identity is None else "keyless"


def examine(request: AssessmentRequest, files: ServiceFiles) -> tuple[AssessedArtifact, tuple[CheckGroup, ...]]:
    """Verify an artifact, and return all that can be said of bringing it into service.

    Raises ``IntegrityError`` for an artifact, or a ledger, that is not what was signed; ``UserError`` where there is no
    artifact, or its report or the load test cannot be read.
    """
    from mlopt.core.hardware import detect_cpu
    from mlopt.deploy.assessment.constraints import constraints
    from mlopt.deploy.assessment.gaps import gaps
    from mlopt.deploy.assessment.security import security
    from mlopt.deploy.assessment.subject import assessed
    from mlopt.deploy.assessment.targets import targets
    from mlopt.deploy.table import ENGINES

    found = assessed(request)
    tried = tuple(service_checks(found, files))
    missing = (*gaps(found), *(check for check in tried if check.status != "ok"))
    groups = (
        CheckGroup("targets", (*targets(found, ENGINES), served_here(found))),
        CheckGroup("constraints", tuple(constraints(found, detect_cpu()))),
        CheckGroup("security", tuple(security(found))),
        CheckGroup("in service", tuple(check for check in tried if check.status == "ok")),
        CheckGroup("missing or to mend", missing or (Check("nothing", "ok", "of what is looked for here"),)),
    )
    return found, tuple(group for group in groups if group.checks)


def served_here(found: AssessedArtifact) -> Check:
    """Say whether `mlopt serve` can open the artifact on this machine, as far as can be told without opening it."""
    from mlopt.core.packages import versions
    from mlopt.protocol.tensors import datatype_of
    from mlopt.runtimes.table import runtime_named
    from mlopt.serve.extra import check_extra

    manifest = found.manifest
    try:
        check_extra()
        runtime = runtime_named(manifest.runtime)
        for spec in (*manifest.model.inputs, *manifest.model.outputs):
            datatype_of(spec.dtype)
    except MloptError as error:
        return Check("mlopt serve", "note", error.brief, error.problems[0].fix)
    if runtime.missing:
        return Check("mlopt serve", "note", f"{', '.join(runtime.missing)} is not installed here", runtime.install)
    here = versions(runtime.packages)
    other = [f"{name} {here[name]}, and {its} was measured" for name, its in manifest.runtime_packages.items()
             if here.get(name, its) != its]  # fmt: skip
    said = f"here, with {'; '.join(other) or ', '.join(f'{name} {its}' for name, its in here.items())}"
    return Check("mlopt serve", "note" if other else "ok", said)


def service_checks(found: AssessedArtifact, files: ServiceFiles) -> Iterator[Check]:
    """Say what a load test and a ledger tell of this artifact; what is not ok has the command that mends it."""
    from mlopt.deploy.assessment.gaps import no_load_test, no_rollout
    from mlopt.loadtest import files as loadtest
    from mlopt.sketches import SKETCHES

    if SKETCHES in found.verified.files:
        said = f"{SKETCHES}, of the data that it was judged on: `mlopt monitor` compares what is live with them"
        yield Check("sketches", "ok", said)
    record = files.loadtest / "loadtest.json"
    if found.content is not None:
        none = no_load_test(found, found.content, files.loadtest)
        yield load_check(loadtest.read(record), found.verified.root, none) if record.exists() else none
    if files.ledger.exists():
        yield ledger_check(files.ledger, found.verified.root, no_rollout(found, files.ledger))
    else:
        yield no_rollout(found, files.ledger)


def load_check(record: LoadTestRecord, digest: str, none: Check) -> Check:
    """Say what a load test of the artifact of this digest found; ``none`` is said where there was none."""
    from mlopt.loadtest.words import headline

    if record.served.digest is None:
        return Check(none.name, "note", "the one that is there was told no artifact (--artifact)", none.fix)
    if record.served.digest != digest:
        said = f"the one that is there is of another artifact, {record.served.digest[:12]}"
        return Check(none.name, "note", said, none.fix)
    kept = record.ramp.kept if record.ramp is not None else None
    said = headline(record) + ("" if kept is None else f" Up to {kept:g} requests/s kept the limits.")
    if record.verdict in (None, "pass"):
        return Check(none.name, "ok", said)
    return Check(none.name, "note", f"{record.verdict}: {said}", none.fix)


def ledger_check(ledger: Path, digest: str, none: Check) -> Check:
    """Say what became of this digest, by a ledger of the user's own lines; ``none`` is said where it is not in it.

    Raises ``IntegrityError`` for a ledger that does not hold.
    """
    from mlopt.artifact.signing.base import UnknownSignerError
    from mlopt.artifact.signing.trust import KeyTrust
    from mlopt.core.errors import OutputError
    from mlopt.rollout.ledger import read

    try:
        records = read(ledger, KeyTrust.of(None)).records
    except (UnknownSignerError, OutputError) as error:
        said = f"{ledger} cannot be checked: {error.problems[0].what}"
        return Check(none.name, "note", said, f"mlopt rollout log {shlex.quote(str(ledger))} --ledger-key PUB")
    return _history(records, digest) or none


def _history(records: Sequence[RolloutRecord], digest: str) -> Check | None:
    from mlopt.core.foreign_text import plain

    done = [each for each in records if each.phase == "done" and digest in {*each.before, *each.after}]
    if not done:
        return None
    last = done[-1]
    before, after = (one[digest].weight if digest in one else 0 for one in (last.before, last.after))
    where = plain(f"{last.step} at {last.time}, {last.model} at {last.target}")
    if after or not before:
        return Check("ledger", "ok", f"{after} % of the requests after {where}")
    why = f": {plain(last.why)}" if last.why else ""
    said = f"{before} % of the requests were taken from it by {where}{why}"
    return Check("ledger", "note" if last.step == "rollback" else "ok", said)


def as_json(found: AssessedArtifact) -> dict[str, Any]:
    """Return what is told of the artifact itself."""
    manifest = found.manifest
    return {
        "path": str(found.asked.directory), "name": manifest.name, "version": manifest.version,
        "digest": found.verified.root, "signer": found.verified.signer, "verdict": manifest.verdict,
    }  # fmt: skip
