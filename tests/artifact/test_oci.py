"""The OCI image layout: what the image specification v1.1 asks for, word by word, and the same digest every time."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mlopt.artifact import layout, oci
from mlopt.artifact.sign import sign
from mlopt.artifact.signing import keys
from mlopt.artifact.signing.signers import KeySigner
from mlopt.artifact.verify import verify
from mlopt.core.errors import IntegrityError, OutputError

MEDIA_TYPE = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"  # RFC 6838, 4.2
REF_NAME = r"[A-Za-z0-9]+((?:[-._:@+]|--)[A-Za-z0-9]+)*(/[A-Za-z0-9]+((?:[-._:@+]|--)[A-Za-z0-9]+)*)*"  # annotations.md


@pytest.fixture
def artifact(tmp_path: Path, fill: Any) -> Path:
    directory = tmp_path / "made" / "digits"
    layout.write(directory, fill(nested=True))
    sign(directory, KeySigner(keys.user_key().private))
    (directory / layout.CLAIMS).write_bytes(b"")
    return directory


@pytest.fixture
def image(artifact: Path, tmp_path: Path) -> Path:
    oci.write(verify(artifact), tmp_path / "image")
    return tmp_path / "image"


def blob(image: Path, descriptor: dict[str, Any]) -> bytes:
    """The content that a descriptor names; it must be what the descriptor says (descriptor.md)."""
    algorithm, digest = descriptor["digest"].split(":")
    data = (image / "blobs" / algorithm / digest).read_bytes()
    assert algorithm == "sha256"
    assert hashlib.sha256(data).hexdigest() == digest
    assert len(data) == descriptor["size"]
    assert re.fullmatch(MEDIA_TYPE, descriptor["mediaType"])
    return data


def manifest_of(image: Path) -> dict[str, Any]:
    index = json.loads((image / "index.json").read_bytes())
    value = json.loads(blob(image, index["manifests"][0]))
    assert isinstance(value, dict)
    return value


def test_the_layout_is_one(image: Path) -> None:
    """image-layout.md: two files and the blobs, each blob named by its digest, none that nothing refers to."""
    assert sorted(path.name for path in image.iterdir()) == ["blobs", "index.json", "oci-layout"]
    assert json.loads((image / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((image / "index.json").read_bytes())
    manifest = manifest_of(image)
    descriptors = [*index["manifests"], manifest["config"], *manifest["layers"]]
    for descriptor in descriptors:
        blob(image, descriptor)
    stored = {path.name for path in (image / "blobs" / "sha256").iterdir()}
    assert stored == {descriptor["digest"].removeprefix("sha256:") for descriptor in descriptors}


def test_the_index_names_one_manifest_by_the_version(image: Path) -> None:
    """image-index.md and annotations.md."""
    index = json.loads((image / "index.json").read_bytes())
    assert index["schemaVersion"] == 2
    assert index["mediaType"] == "application/vnd.oci.image.index.v1+json"
    (descriptor,) = index["manifests"]
    assert descriptor["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert descriptor["artifactType"] == oci.ARTIFACT_TYPE
    tag = descriptor["annotations"]["org.opencontainers.image.ref.name"]
    assert tag == "1"
    assert re.fullmatch(REF_NAME, tag)


def test_the_manifest_is_that_of_an_artifact(image: Path, artifact: Path) -> None:
    """manifest.md, "Guidelines for Artifact Usage", case 2: files, and no configuration."""
    manifest = manifest_of(image)
    assert manifest["schemaVersion"] == 2
    assert manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert re.fullmatch(MEDIA_TYPE, manifest["artifactType"])
    assert manifest["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"
    assert blob(image, manifest["config"]) == b"{}"
    about = layout.read_manifest(artifact)
    assert manifest["annotations"] == {
        "org.opencontainers.image.title": "digits",
        "org.opencontainers.image.version": "1",
        "org.opencontainers.image.created": about.created,
        "dev.mlopt.verdict": "pass",
        "dev.mlopt.root": f"sha256:{verify(artifact).root}",
    }


def test_every_file_is_a_layer_and_together_they_are_the_artifact(image: Path, artifact: Path, tmp_path: Path) -> None:
    """What ``oras pull`` does: it writes each layer to the file that its title names."""
    layers = manifest_of(image)["layers"]
    for layer in layers:
        path = tmp_path / "pulled" / layer["annotations"]["org.opencontainers.image.title"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(blob(image, layer))
    assert verify(tmp_path / "pulled").files == verify(artifact).files
    kinds = {layer["annotations"]["org.opencontainers.image.title"]: layer["mediaType"] for layer in layers}
    assert kinds == {
        "claims.jsonl": "application/jsonl",
        "mlopt.json": "application/json",
        "model.onnx": "application/octet-stream",
        "model.sig": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "raw/final.json": "application/json",
        "report.json": "application/json",
        "report.md": "text/markdown",
    }


def test_json_is_canonical(image: Path) -> None:
    """canonicalization.md: sorted keys, no white space."""
    index = (image / "index.json").read_bytes()
    for data in ((image / "oci-layout").read_bytes(), index, blob(image, json.loads(index)["manifests"][0])):
        assert data == json.dumps(json.loads(data), sort_keys=True, separators=(",", ":")).encode()


def test_the_digest_does_not_change(artifact: Path, image: Path, tmp_path: Path) -> None:
    shutil.copytree(artifact, tmp_path / "copy", copy_function=shutil.copyfile)
    before = os.umask(0o077)
    try:
        digest = oci.write(verify(tmp_path / "copy"), tmp_path / "again")
    finally:
        os.umask(before)
    first, second = (
        {path.relative_to(top): path.read_bytes() for path in top.rglob("*") if path.is_file()}
        for top in (image, tmp_path / "again")
    )
    assert first == second
    assert f"sha256:{digest}" == json.loads((image / "index.json").read_bytes())["manifests"][0]["digest"]


def test_skopeo_copies_it_and_keeps_every_blob(image: Path, tmp_path: Path) -> None:
    skopeo = shutil.which("skopeo")
    if skopeo is None:
        pytest.skip("skopeo is not installed: apt install skopeo")
    policy = tmp_path / "policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    subprocess.run(
        [skopeo, "--policy", policy, "copy", f"oci:{image}:1", f"oci:{tmp_path / 'copied'}:1"], check=True, timeout=60
    )
    blobs = [sorted(path.name for path in (top / "blobs" / "sha256").iterdir()) for top in (image, tmp_path / "copied")]
    assert blobs[0] == blobs[1]


def test_a_place_that_is_taken_is_left_alone(artifact: Path, image: Path, tmp_path: Path) -> None:
    verified = verify(artifact)
    with pytest.raises(OutputError, match="something is there already"):
        oci.write(verified, image)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="something is there already"):
        oci.write(verified, tmp_path / "file")
    with pytest.raises(OutputError, match="this place is inside the artifact"):
        oci.write(verified, artifact / "image")
    (tmp_path / "empty").mkdir()
    oci.write(verified, tmp_path / "empty")
    assert manifest_of(tmp_path / "empty") == manifest_of(image)


def test_a_file_changed_after_it_was_verified_leaves_nothing(artifact: Path, tmp_path: Path) -> None:
    verified = verify(artifact)
    (artifact / "model.onnx").write_bytes(b"other")
    with pytest.raises(IntegrityError, match=r"model.onnx: the file was changed after it was verified"):
        oci.write(verified, tmp_path / "image")
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
