"""A registry: what is pulled is what was pushed, by its digest and its signature, or nothing is written."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import toy_registry
from rollout_world import artifact, listening, own_signer, root_of, stranger
from toy_registry import ToyRegistry

from mlopt.artifact import oci
from mlopt.artifact.signing.trust import KeyTrust
from mlopt.artifact.verify import verify
from mlopt.core.errors import IntegrityError, OutputError, UserError
from mlopt.rollout.registry import ImageReference, OciRegistry


@pytest.fixture
def server() -> Iterator[ToyRegistry]:
    with toy_registry.running() as registry:
        yield registry


def reference(server: ToyRegistry, rest: str = "") -> ImageReference:
    return ImageReference.parse(f"{server.host}/models/digits{rest}")


@pytest.fixture
def pushed(server: ToyRegistry, tmp_path: Path) -> str:
    return OciRegistry().push(verify(artifact(tmp_path, 1)), reference(server, ":v1"))


@pytest.mark.parametrize(
    ("text", "base", "wanted"),
    [
        ("127.0.0.1:5000/digits", "http://127.0.0.1:5000/v2/digits", "latest"),
        ("example.org/team/digits:v1", "https://example.org/v2/team/digits", "v1"),
        ("oci://[::1]:5000/digits:a", "http://[::1]:5000/v2/digits", "a"),
        (f"example.org/digits@sha256:{'a' * 64}", "https://example.org/v2/digits", f"sha256:{'a' * 64}"),
    ],
)
def test_references(text: str, base: str, wanted: str) -> None:
    found = ImageReference.parse(text)
    assert (found.base, found.wanted) == (base, wanted)
    assert ImageReference.parse(str(found)).wanted == wanted


@pytest.mark.parametrize(
    "text", ["digits", "/digits", "host/Digits", "host/../x", "host/digits:", "host/digits:a b", "host/a@sha256:12",
             f"host/a:b@sha256:{'a' * 64}", "host/a?x", "host/"],
)  # fmt: skip
def test_what_is_no_reference(text: str) -> None:
    if text == "host/digits:":  # an empty tag is none
        assert ImageReference.parse(text).tag is None
        return
    with pytest.raises(UserError, match="names nothing"):
        ImageReference.parse(text)


def test_what_is_pushed_has_the_digest_that_pack_says(server: ToyRegistry, pushed: str, tmp_path: Path) -> None:
    image = oci.write(verify(tmp_path / "v1" / "digits"), tmp_path / "image")
    assert pushed == f"sha256:{image}"
    assert server.tags == {"v1": pushed}
    assert {each.removeprefix("sha256:") for each in server.blobs} | {image} == {
        each.name for each in (tmp_path / "image" / "blobs" / "sha256").iterdir()
    }


def test_what_is_there_is_not_sent_again(server: ToyRegistry, pushed: str, tmp_path: Path) -> None:
    server.asked.clear()
    assert OciRegistry().push(verify(tmp_path / "v1" / "digits"), reference(server)) == pushed
    assert [path for method, path in server.asked if method == "PUT"] == [f"/v2/models/digits/manifests/{pushed}"]


@pytest.mark.parametrize("by", ["tag", "digest"])
def test_what_is_pulled_is_what_was_pushed(by: str, server: ToyRegistry, pushed: str, tmp_path: Path) -> None:
    source = reference(server, ":v1" if by == "tag" else f"@{pushed}")
    verified, digest = OciRegistry().pull(source, tmp_path / "pulled", verify)
    assert digest == pushed
    assert verified.root == root_of(tmp_path / "pulled") == root_of(tmp_path / "v1" / "digits")


def test_what_was_changed_on_the_way_is_not_written(server: ToyRegistry, pushed: str, tmp_path: Path) -> None:
    for digest, data in server.blobs.items():
        server.lies = {digest: bytes([data[0] ^ 1]) + data[1:]}
        if data == b"{}":  # the empty configuration is not fetched
            continue
        with pytest.raises(IntegrityError, match="otherwise than the manifest"):
            OciRegistry().pull(reference(server, ":v1"), tmp_path / "pulled", verify)
        server.lies = {digest: data + b"more"}
        with pytest.raises(IntegrityError, match="otherwise than the manifest"):
            OciRegistry().pull(reference(server, ":v1"), tmp_path / "pulled", verify)
    assert not (tmp_path / "pulled").exists()


def test_another_manifest_than_the_digest_is_refused(server: ToyRegistry, pushed: str, tmp_path: Path) -> None:
    server.lies = {pushed: server.manifests[pushed] + b" "}
    with pytest.raises(IntegrityError, match="gave something else"):
        OciRegistry().pull(reference(server, f"@{pushed}"), tmp_path / "pulled", verify)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.update(artifactType="application/else"),
        lambda manifest: manifest["layers"][0]["annotations"].update({"org.opencontainers.image.title": "../up"}),
        lambda manifest: manifest["layers"].append(manifest["layers"][0]),
        lambda manifest: manifest["layers"][0].update(digest="sha256:../../x"),
        lambda manifest: manifest["layers"][0].update(size="1"),
        lambda manifest: manifest.update(layers=None),
        lambda manifest: manifest["layers"].append("text"),
    ],
)
def test_a_manifest_that_leads_elsewhere_is_refused(
    change: Any, server: ToyRegistry, pushed: str, tmp_path: Path
) -> None:
    manifest = json.loads(server.manifests[pushed])
    change(manifest)
    server.manifests[pushed] = json.dumps(manifest).encode()
    with pytest.raises(IntegrityError):
        OciRegistry().pull(reference(server, ":v1"), tmp_path / "pulled", verify)
    assert not (tmp_path / "pulled").exists()


def test_what_another_signed_or_is_older_is_not_written(server: ToyRegistry, tmp_path: Path) -> None:
    own_signer()
    other = stranger()
    theirs = verify(artifact(tmp_path, 1, other), KeyTrust(other.private.public_key()))
    OciRegistry().push(theirs, reference(server, ":v1"))
    with pytest.raises(IntegrityError):
        OciRegistry().pull(reference(server, ":v1"), tmp_path / "pulled", verify)
    check = partial(verify, trust=KeyTrust(other.private.public_key()), min_version=2)
    with pytest.raises(IntegrityError, match="older"):
        OciRegistry().pull(reference(server, ":v1"), tmp_path / "pulled", check)
    assert not (tmp_path / "pulled").exists()


def test_a_newer_one_that_is_there_stays(server: ToyRegistry, pushed: str, tmp_path: Path) -> None:
    there = artifact(tmp_path, 2)
    before = root_of(there)
    with pytest.raises(OutputError, match="newer artifact is there"):
        OciRegistry().pull(reference(server, ":v1"), there, verify)
    assert root_of(there) == before


def test_a_tag_moves_and_goes_back(server: ToyRegistry, pushed: str, tmp_path: Path) -> None:
    registry = OciRegistry()
    second = registry.push(verify(artifact(tmp_path / "more", 2)), reference(server, ":v2"))
    assert registry.tag(reference(server, ":v2"), "live") == second == server.tags["live"]
    assert registry.tag(reference(server, f"@{pushed}"), "live") == pushed == server.tags["live"]
    with pytest.raises(UserError, match="no tag"):
        registry.tag(reference(server, ":v2"), "no tag")


def test_what_is_not_there_is_told(server: ToyRegistry) -> None:
    with pytest.raises(UserError, match="nothing of this name"):
        OciRegistry().resolve(reference(server, ":no"))
    assert OciRegistry().find(reference(server, ":no")) is None


def test_a_login(server: ToyRegistry, tmp_path: Path) -> None:
    server.login = base64.b64encode(b"me:secret").decode()
    verified = verify(artifact(tmp_path, 1))
    with pytest.raises(UserError, match="does not let you"):
        OciRegistry().push(verified, reference(server, ":v1"))
    OciRegistry("me:secret").push(verified, reference(server, ":v1"))
    OciRegistry("me:secret").pull(reference(server, ":v1"), tmp_path / "pulled", verify)


def test_an_upload_that_is_sent_elsewhere_is_refused(tmp_path: Path) -> None:
    """Else the login would go there, too."""

    def answer(method: str, *_: Any) -> tuple[Any, ...]:
        return (404, "") if method == "HEAD" else (202, "", {"Location": "http://127.0.0.1:1/elsewhere"})

    with listening(answer) as url, pytest.raises(UserError, match="somewhere else"):
        OciRegistry().push(verify(artifact(tmp_path, 1)), ImageReference.parse(f"{url.removeprefix('http://')}/digits"))


def test_a_blob_that_lies_elsewhere_is_fetched_without_the_login(
    server: ToyRegistry, pushed: str, tmp_path: Path
) -> None:
    tokens: list[str | None] = []

    def store(method: str, path: str, token: str | None, body: bytes) -> tuple[Any, ...]:
        tokens.append(token)
        return 200, server.blobs[path.removeprefix("/")]

    with listening(store) as elsewhere:

        def front(method: str, path: str, token: str | None, body: bytes) -> tuple[Any, ...]:
            if "/blobs/" in path:
                return 307, "", {"Location": f"{elsewhere}/{path.rpartition('/')[2]}"}
            return server.answer(method, path, token, body)

        with listening(front) as url:
            source = ImageReference.parse(f"{url.removeprefix('http://')}/models/digits:v1")
            OciRegistry("me:secret").pull(source, tmp_path / "pulled", verify)
    assert set(tokens) == {None}
    assert root_of(tmp_path / "pulled") == root_of(tmp_path / "v1" / "digits")


REGISTRY = shutil.which("docker-registry") or shutil.which("registry")
CONFIGURATION = """\
version: 0.1
storage: {{filesystem: {{rootdirectory: {folder}}}, delete: {{enabled: true}}}}
http: {{addr: 127.0.0.1:{port}}}
log: {{level: error}}
"""


@pytest.fixture
def real(tmp_path: Path) -> Iterator[str]:
    """Debian's docker-registry, on a free port of this machine."""
    import socket

    if REGISTRY is None:
        pytest.skip("docker-registry is not installed (apt install docker-registry)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    file = tmp_path / "registry.yml"
    file.write_text(CONFIGURATION.format(folder=tmp_path / "storage", port=port))
    with (tmp_path / "registry.log").open("wb") as log:
        child = subprocess.Popen([REGISTRY, "serve", str(file)], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        child.terminate()
        child.wait(20)


@pytest.mark.slow
def test_a_real_registry(real: str, tmp_path: Path) -> None:
    """Pushed, found by digest, promoted and rolled back by its tag, pulled and verified; what is damaged is refused."""
    registry = OciRegistry()
    first, second = (verify(artifact(tmp_path, version)) for version in (1, 2))
    digests = [
        registry.push(each, ImageReference.parse(f"{real}/models/digits:v{each.manifest.version}"))
        for each in (first, second)
    ]
    live = ImageReference.parse(f"{real}/models/digits:live")
    assert registry.find(live) is None
    for digest, verified in ((digests[0], first), (digests[1], second), (digests[0], first)):
        source = ImageReference.parse(f"{real}/models/digits@{digest}")
        assert registry.tag(source, "live") == digest == registry.resolve(live)
        pulled = tmp_path / f"pulled-{os.urandom(4).hex()}"
        found, of_image = registry.pull(live, pulled, verify)
        assert (found.root, of_image) == (verified.root, digest)
    model = f"sha256:{first.files['model.onnx']}"
    (blob,) = (tmp_path / "storage").rglob(f"{model.removeprefix('sha256:')}/data")
    blob.write_bytes(b"damaged")
    with pytest.raises((IntegrityError, UserError)):
        registry.pull(live, tmp_path / "damaged", verify)
    assert not (tmp_path / "damaged").exists()
