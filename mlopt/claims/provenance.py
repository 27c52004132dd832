"""The claim of how an artifact was made: SLSA provenance v1, https://slsa.dev/spec/v1.0/provenance.

It says what the maker's own machine says of itself, so it is worth as much as the signer: SLSA build level 1.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from mlopt.artifact.layout import Role
from mlopt.claims.facts import FILE, Facts
from mlopt.claims.naming import package_url, portable
from mlopt.core.distribution import DISTRIBUTION
from mlopt.recipe.lock import installed

BUILD_TYPE = "https://mlopt.dev/optimize/v1"
"""What ``mlopt optimize`` does. External parameters: the recipe and the overrides; the rest follows from them."""
BUILDER = "https://mlopt.dev/local/v1"
"""``mlopt optimize``, run by the signer on a machine of theirs."""


def predicate(facts: Facts) -> dict[str, Any]:
    """Return the predicate."""
    report, origin, manifest = facts.report, facts.origin, facts.manifest
    metadata = {"invocationId": _invocation(facts), "startedOn": origin.started, "finishedOn": manifest.created}
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "recipe": {"digest": {"sha256": origin.recipe}, "resolved": portable(facts.recipe)},
                "overrides": portable(origin.overrides),
            },
            "internalParameters": {
                "runtime": manifest.runtime,
                "options": portable(manifest.options),
                "seed": facts.recipe.get("seed"),
                "passes": [
                    {"pass": step.name, "version": step.version, "status": step.status} for step in report.steps
                ],
                "hardware": {**report.environment.cpu.model_dump(mode="json"), "gpu": report.environment.gpu},
                "os": report.environment.os,
                "python": report.environment.python,
            },
            "resolvedDependencies": [*_sources(facts), *_packages(facts)],
        },
        "runDetails": {
            "builder": {"id": BUILDER, "version": {"mlopt": origin.mlopt}},
            "metadata": {key: value for key, value in metadata.items() if value is not None},
        },
    }


def _invocation(facts: Facts) -> str:
    """Return a name for the run: of its resolved recipe, which says when it began and with what."""
    recipe = facts.digests.files[facts.manifest.file_of(Role.RECIPE)]
    return uuid.uuid5(uuid.NAMESPACE_URL, f"{BUILD_TYPE}/{recipe}").urn


def _sources(facts: Facts) -> Iterator[dict[str, Any]]:
    """Yield the recipe, the source model, the data sets and the recipe's Python; a note says what each digest is of."""
    yield _dependency("recipe", facts.origin.recipe, digestOf="the recipe's text as written")
    for key, digest in sorted(facts.origin.sources.items()):
        if key == "model":
            source = facts.recipe["model"].get("source")
            yield _dependency(key, digest, digestOf="the source model's files", source=portable(source))
        elif key.startswith("data."):
            about = facts.report.data.get(key.removeprefix("data."), {})
            yield _dependency(
                key, digest, digestOf="the samples as read: names, types, shapes and values of their arrays",
                source=portable(about.get("source")), samples=about.get("samples"),
            )  # fmt: skip
        elif key.startswith(FILE):
            yield _dependency(key.removeprefix(FILE), digest, digestOf="the recipe's Python file of this name")
        else:
            yield _dependency(
                portable(key), digest, digestOf="the sha256sum lines of the Python file and of its imports"
            )


def _packages(facts: Facts) -> Iterator[dict[str, Any]]:
    """Yield the packages; the digest is of the list of what was installed, since the package itself is long gone."""
    for name, version in sorted({**facts.origin.packages, DISTRIBUTION: facts.origin.mlopt}.items()):
        record = facts.origin.records.get(name)
        digest = {"digest": {"sha256": record}, "annotations": {"digestOf": "RECORD"}} if record else {}
        yield {"name": name, "uri": package_url(*installed(name, version)), **digest}


def _dependency(name: str, digest: str, **annotations: Any) -> dict[str, Any]:
    known = {key: value for key, value in annotations.items() if value is not None}
    return {"name": name, "digest": {"sha256": digest}, "annotations": known}
