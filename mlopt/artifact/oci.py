"""An artifact as an OCI image layout, which registries and their tools (oras, skopeo, crane) copy as it is.

One manifest with a layer per file, named as ``oras`` names them, so that ``oras pull`` gives the artifact back, file by
file, for ``mlopt verify``. Nothing in it depends on the time or the machine: the same artifact has the same digest.
The format: https://github.com/opencontainers/image-spec (v1.1: image-layout.md, manifest.md "Guidelines for Artifact
Usage", annotations.md, canonicalization.md).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from mlopt.artifact.archive import check_outside, content, contents
from mlopt.artifact.files import reading, sync, writing
from mlopt.artifact.layout import CLAIMS, SIGNATURE
from mlopt.artifact.signing import bundle
from mlopt.core.errors import OutputError

if TYPE_CHECKING:
    from mlopt.artifact.verify import Verified

ARTIFACT_TYPE = "application/vnd.mlopt.artifact.v1"
_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_EMPTY = "application/vnd.oci.empty.v1+json"
_TITLE = "org.opencontainers.image.title"

# Not Python's mimetypes: its answers depend on the machine.
_MEDIA_TYPES = {
    SIGNATURE: bundle.MEDIA_TYPE,
    CLAIMS: "application/jsonl",
    ".cdx.json": "application/vnd.cyclonedx+json",
    ".json": "application/json",
    ".yaml": "application/yaml",
    ".md": "text/markdown",
    ".html": "text/html",
}


def write(verified: Verified, out: Path) -> str:
    """Write the image layout of a verified artifact to ``out``, whole or not at all; return the manifest's SHA-256.

    ``out`` is absent or an empty directory. The manifest's tag is the artifact's version. Raises ``IntegrityError``
    when a file is no longer what was verified, and ``OutputError``.
    """
    check_outside(verified, out)
    target = out.resolve()
    with writing(out):
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise OutputError("something is there already", where=str(out), expected="an empty or absent directory")
        target.parent.mkdir(parents=True, exist_ok=True)
        new = target.with_name(f".{target.name}.{os.urandom(4).hex()}")
        try:
            digest = _write(verified, new)
            sync([*new.rglob("*"), new])
            new.rename(target)
            sync([target.parent])
        finally:
            shutil.rmtree(new, ignore_errors=True)
    return digest


def _write(verified: Verified, new: Path) -> str:
    blobs = new / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    layers = []
    for name in contents(verified):
        layer = _file(verified, name, blobs, out=new)
        layers.append({"mediaType": _media_type(name), **layer, "annotations": {_TITLE: name}})
    config = {"mediaType": _EMPTY, **_blob(b"{}", blobs)}
    about = verified.manifest
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "artifactType": ARTIFACT_TYPE,
        "config": config,
        "layers": layers,
        "annotations": {
            _TITLE: about.name,
            "org.opencontainers.image.version": str(about.version),
            "org.opencontainers.image.created": about.created,
            "dev.mlopt.verdict": about.verdict,
            "dev.mlopt.root": f"sha256:{verified.root}",
        },
    }
    descriptor = {"mediaType": _MANIFEST, "artifactType": ARTIFACT_TYPE, **_blob(_json(manifest), blobs)}
    descriptor["annotations"] = {"org.opencontainers.image.ref.name": str(about.version)}
    (new / "index.json").write_bytes(_json({"schemaVersion": 2, "mediaType": _INDEX, "manifests": [descriptor]}))
    (new / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
    return str(descriptor["digest"]).removeprefix("sha256:")


def _file(verified: Verified, name: str, blobs: Path, out: Path) -> dict[str, Any]:
    """Copy a file into the blobs, under its digest; what it is called stands in the manifest."""
    temporary, digest, size = blobs / "new", hashlib.sha256(), 0
    with temporary.open("xb") as stream, reading(verified.directory):
        for data in content(verified, name):
            digest.update(data)
            size += len(data)
            with writing(out):
                stream.write(data)
    temporary.rename(blobs / digest.hexdigest())
    return {"digest": f"sha256:{digest.hexdigest()}", "size": size}


def _blob(data: bytes, blobs: Path) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}


def _media_type(name: str) -> str:
    file = PurePosixPath(name).name
    return next((kind for end, kind in _MEDIA_TYPES.items() if file.endswith(end)), "application/octet-stream")


def _json(value: dict[str, Any]) -> bytes:
    """Return canonical JSON: sorted keys, no white space, plain UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
