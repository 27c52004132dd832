"""What of the artifact stands under whose signature, and what beside it."""

from __future__ import annotations

from collections.abc import Iterator

from mlopt.artifact.claims import PREDICATES
from mlopt.artifact.layout import CLAIMS, SIGNATURE, Role
from mlopt.core.check import Check
from mlopt.core.foreign_text import plain
from mlopt.deploy.assessment.subject import AssessedArtifact, SignedAs

_WHO: dict[SignedAs, str] = {
    "own key": "your own key",
    "key": "the key that you named",
    "certificate": "a certificate under the root that you named",
    "keyless": "an identity, without a key of its own",
}


def security(found: AssessedArtifact) -> Iterator[Check]:
    """Say who signed, what that covers, and what lies outside of it."""
    verified, manifest = found.verified, found.manifest
    who = f"{plain(verified.signer)} ({_WHO[found.asked.signed_as]})"
    yield Check("signature", "ok", f"{len(verified.files)} files are what {who} signed")
    yield Check("digest", "ok", f"{verified.root}: what servers answer with, and what a rollout goes by")
    evidence = manifest.file_of(Role.REPORT)
    yield Check("evidence", "ok", f"{evidence} is under the signature: sha256 {verified.files[evidence]}")
    yield _gates(found)
    yield _claims(found)
    yield from _held(found)
    yield Check("deployed folder", "note", "its deployment.json stands under no signature: keep the folder read-only")


def _gates(found: AssessedArtifact) -> Check:
    manifest = found.manifest
    if manifest.verdict == "pass":
        return Check("gates", "ok", "passed")
    said = f"{manifest.verdict}; signed all the same (--allow-ungated)" if manifest.ungated else manifest.verdict
    return Check("gates", "note", said, f"mlopt gate {found.asked.words}")


def _claims(found: AssessedArtifact) -> Check:
    short = {uri: name for name, uri in PREDICATES.items()}
    claimed = [short.get(each.predicate_type, plain(each.predicate_type)) for each in found.verified.claims]
    outside = f"outside the signature: {SIGNATURE} itself"
    if not claimed:
        return Check("claims", "ok", f"none of this signer; {outside}")
    return Check("claims", "ok", f"{', '.join(claimed)}; {outside} and {CLAIMS}, in which each statement is signed")


def _held(found: AssessedArtifact) -> Iterator[Check]:
    """Say what else is in the artifact that might be asked about: external data, somebody's Python, a bill."""
    by_role = {role: sorted(name for name, its in found.manifest.files.items() if its is role) for role in Role}
    if by_role[Role.MODEL_DATA]:
        yield Check(
            "external data", "ok", f"{', '.join(by_role[Role.MODEL_DATA])}: under the signature as the model is"
        )
    if by_role[Role.TORCH]:
        yield Check("python", "ok", "the author's, in torch/: under the signature; nothing here runs it")
    if by_role[Role.BOM]:
        yield Check("bill of materials", "ok", ", ".join(by_role[Role.BOM]))
