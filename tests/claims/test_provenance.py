"""How an artifact was made, as SLSA provenance: true to its lock, and a digest for every package that has one."""

from __future__ import annotations

import hashlib
import json
from importlib import metadata
from pathlib import Path
from typing import Any

from packed_artifact import SOURCES, STARTED

from mlopt import __version__, claims
from mlopt.artifact import layout
from mlopt.recipe.yaml_reader import read_text
from mlopt.recipe.yaml_writer import dump


def predicates(directory: Path) -> dict[str, Any]:
    return {name: json.loads(text)["predicate"] for name, text in claims.statements(directory).items()}


def test_provenance_says_what_it_was_made_of(artifact: Path) -> None:
    provenance = predicates(artifact)["provenance"]
    built, run = provenance["buildDefinition"], provenance["runDetails"]
    assert built["buildType"] == "https://mlopt.dev/optimize/v1"
    assert built["externalParameters"]["overrides"] == ["model.source=source.onnx", "target.threads=3"]
    assert built["externalParameters"]["recipe"]["resolved"]["passes"][0] == {"simplify": {"optional": False}}
    assert "lock" not in built["externalParameters"]["recipe"]["resolved"]
    assert built["internalParameters"]["seed"] == 7
    assert built["internalParameters"]["options"]["threads"] == 2
    assert built["internalParameters"]["hardware"] == {
        "model": "AMD EPYC 7763", "isa": ["avx2", "fma"], "cores": 2, "gpu": None,
    }  # fmt: skip
    needed = {each["name"]: each for each in built["resolvedDependencies"]}
    assert {name: needed[name.removeprefix("file ")]["digest"]["sha256"] for name in SOURCES} == SOURCES
    assert needed["model"]["annotations"]["source"] == "source.onnx"
    assert needed["recipe"]["digest"] == built["externalParameters"]["recipe"]["digest"]
    assert run["builder"] == {"id": "https://mlopt.dev/local/v1", "version": {"mlopt": __version__}}
    assert run["metadata"]["startedOn"] == STARTED
    assert run["metadata"]["finishedOn"] == layout.read_manifest(artifact).created
    assert run["metadata"]["invocationId"].startswith("urn:uuid:")


def test_a_package_has_the_digest_of_its_record(artifact: Path) -> None:
    needed = predicates(artifact)["provenance"]["buildDefinition"]["resolvedDependencies"]
    found = next(each for each in needed if each["name"] == "onnxruntime")
    record = Path(str(metadata.distribution("onnxruntime").locate_file("."))).glob("onnxruntime-*.dist-info/RECORD")
    assert found["digest"]["sha256"] == hashlib.sha256(next(iter(record)).read_bytes()).hexdigest()
    assert found["uri"] == "pkg:pypi/onnxruntime@1.32.0"


def test_an_old_lock_is_still_read(artifact: Path) -> None:
    """Locks of mlopt 0.1 know neither overrides nor the start nor digests of packages."""
    lock = artifact / "recipe.lock.yaml"
    recipe = read_text(lock.read_bytes(), "lock").data
    for later in ("overrides", "started", "records"):
        del recipe["lock"][later]
    lock.write_text(dump(recipe))
    provenance = predicates(artifact)["provenance"]
    assert provenance["buildDefinition"]["externalParameters"]["overrides"] == []
    assert set(provenance["runDetails"]["metadata"]) == {"invocationId", "finishedOn"}
    packages = [each for each in provenance["buildDefinition"]["resolvedDependencies"] if "uri" in each]
    assert packages
    assert all("digest" not in package for package in packages)
