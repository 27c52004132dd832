"""An artifact to assess that nobody has signed, with the figures of the example report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from deployed import content

from mlopt.artifact.claims import Claim
from mlopt.deploy.assessment.subject import AssessedArtifact, AssessmentRequest
from mlopt.deploy.contents import served
from mlopt.results.report import Report

ASKED = AssessmentRequest(Path("artifacts/mnist_cnn"))


def subject(
    asked: AssessmentRequest = ASKED, *, report: Mapping[str, Any] | None = None, files: tuple[str, ...] = (),
    claims: tuple[Claim, ...] = (), **manifest: Any,
) -> AssessedArtifact:  # fmt: skip
    """Return it; ``report`` has changes to the example's, ``files`` are signed besides."""
    base = content(**manifest)
    verified = replace(base.verified, files={**base.verified.files, **dict.fromkeys(files, "1" * 64)}, claims=claims)
    evidence = base.report.model_copy(update=dict(report or {}))
    return AssessedArtifact(asked, verified, evidence, served(verified, evidence, asked.goal))


def measured_with(report: Report, **packages: str) -> dict[str, Any]:
    """Return the change that gives a report other versions of packages."""
    environment = report.environment
    return {"environment": environment.model_copy(update={"packages": {**environment.packages, **packages}})}


def with_manifest(found: AssessedArtifact, **changes: Any) -> AssessedArtifact:
    """Return the same with another manifest, whatever the rest says."""
    manifest = found.manifest.model_copy(update=changes)
    return replace(found, verified=replace(found.verified, manifest=manifest))
