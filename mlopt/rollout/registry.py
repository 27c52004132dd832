"""An OCI registry as the place where artifacts wait: pushed and pulled by digest, promoted by moving a tag.

What is pushed is the image that ``mlopt pack --oci`` writes, so its digest is known before; the signature is a file of
the artifact, and so a layer. What is pulled is verified as an artifact before it appears: the registry is not believed.
The interface: https://github.com/opencontainers/distribution-spec (v1.1: pulling manifests and blobs, pushing a blob
monolithically, pushing manifests).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urljoin, urlsplit

from mlopt.artifact import layout, oci
from mlopt.artifact.files import creating, is_safe, parse_json, said_of, shown
from mlopt.artifact.verify import Verified
from mlopt.core.errors import IntegrityError, OutputError, UserError
from mlopt.rollout.calls import HttpReply, RefusedError, accepted, call, is_loopback, streamed

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
MAX_MANIFEST = 4 << 20
_TITLE = "org.opencontainers.image.title"
_CHUNK = 1 << 20
_UPLOAD_LIMIT_S = 600.0
_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class NotThereError(UserError):
    """A registry has nothing of this name."""


@dataclass(frozen=True)
class ImageReference:
    """``HOST[:PORT]/NAME[:TAG]`` or ``HOST[:PORT]/NAME@sha256:DIGEST``."""

    host: str
    name: str
    tag: str | None = None
    digest: str | None = None
    """With ``sha256:`` before it."""

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """Read a reference; raises ``UserError``."""
        host, _, rest = text.removeprefix("oci://").partition("/")
        rest, _, digest = rest.partition("@")
        name, _, tag = rest.partition(":")
        sound = _NAME.fullmatch(name) and (not tag or _TAG.fullmatch(tag)) and (not digest or _DIGEST.fullmatch(digest))
        if not host or not sound or (tag and digest):
            raise UserError(
                "this names nothing in a registry", got=shown(text),
                expected="HOST[:PORT]/NAME[:TAG], or HOST[:PORT]/NAME@sha256:DIGEST, the name in small letters",
            )  # fmt: skip
        return cls(host, name, tag or None, digest or None)

    @property
    def base(self) -> str:
        """The address of what is in the repository; plain HTTP only to this machine."""
        host = urlsplit(f"//{self.host}").hostname or ""
        return f"{'http' if is_loopback(host) else 'https'}://{self.host}/v2/{self.name}"

    @property
    def wanted(self) -> str:
        """What stands in the address of its manifest."""
        return self.digest or self.tag or "latest"

    def __str__(self) -> str:
        return f"{self.host}/{self.name}" + (f"@{self.digest}" if self.digest else f":{self.tag or 'latest'}")


@dataclass(frozen=True)
class OciRegistry:
    """A registry, and who asks it."""

    login: str | None = None
    """``USER:PASSWORD``, sent with every call."""

    def push(self, verified: Verified, to: ImageReference) -> str:
        """Push a verified artifact and return its manifest's digest; a tag that was named then points to it.

        Blobs that are there already are not sent again. Raises ``IntegrityError`` when a file is no longer what was
        verified, or the registry calls it otherwise.
        """
        with TemporaryDirectory(prefix="mlopt-push-") as folder:
            image = Path(folder) / "image"
            digest = f"sha256:{oci.write(verified, image)}"
            if to.digest not in {None, digest}:
                raise IntegrityError("the artifact is another one", got=digest, expected=to.digest)
            blobs = image / "blobs" / "sha256"
            manifest = (blobs / digest.removeprefix("sha256:")).read_bytes()
            for each in _descriptors(parse_json(manifest, str(image))):
                self._push_blob(to, blobs / each.removeprefix("sha256:"), each)
            self._put_manifest(to, manifest, to.tag or digest)
        return digest

    def resolve(self, reference: ImageReference) -> str:
        """Return the digest that a tag points to, or of what has this digest."""
        return self._manifest(reference)[1]

    def find(self, reference: ImageReference) -> str | None:
        """Return the digest as ``resolve``; None where the registry has nothing of this name."""
        try:
            return self.resolve(reference)
        except NotThereError:
            return None

    def tag(self, reference: ImageReference, new: str) -> str:
        """Let a tag point to what is there already, and return its digest: that is how it is promoted."""
        if not _TAG.fullmatch(new):
            raise UserError("this is no tag", got=shown(new), expected="letters, digits, dots, hyphens")
        manifest, digest = self._manifest(reference)
        self._put_manifest(reference, manifest, new)
        found = self.resolve(replace(reference, tag=new, digest=None))
        if found != digest:
            raise RefusedError("the registry moved the tag elsewhere", where=str(reference), got=found, expected=digest)
        return digest

    def pull(self, reference: ImageReference, out: Path, check: Callable[[Path], Verified]) -> tuple[Verified, str]:
        """Make the directory ``out`` of what is there, if ``check``, which verifies a directory, accepts it.

        Returns it, and the manifest's digest. On any failure what was at ``out`` stands untouched. Raises
        ``IntegrityError`` where a digest, a size or the artifact itself does not hold.
        """
        data, digest = self._manifest(reference)
        layers = _layers(parse_json(data, str(reference)), str(reference))
        with layout.replacing(out) as (new, version):
            for name, (blob, size) in layers.items():
                self._fetch(reference, blob, size, new, name)
            with said_of(Path(str(reference)), new):
                verified = check(new)
            if verified.manifest.version < version:
                raise OutputError(
                    "a newer artifact is there, and is not replaced", where=str(out), got=f"version {version}",
                    expected=f"at most version {verified.manifest.version}", fix="choose another directory with -o DIR",
                )  # fmt: skip
        return replace(verified, directory=out), digest

    def _push_blob(self, to: ImageReference, file: Path, digest: str) -> None:
        if self._call("HEAD", f"{to.base}/blobs/{digest}").status == 200:
            return
        begun = accepted(self._call("POST", f"{to.base}/blobs/uploads/"), 202)
        place = urljoin(begun.url, begun.headers.get("location", ""))
        if urlsplit(place).netloc != urlsplit(to.base).netloc:
            raise RefusedError("the registry wants the upload somewhere else", where=to.base, got=shown(place))
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(file.stat().st_size)}
        with file.open("rb") as stream:
            url = f"{place}{'&' if '?' in place else '?'}digest={digest}"
            accepted(self._call("PUT", url, body=stream, headers=headers, limit_s=_UPLOAD_LIMIT_S), 201)

    def _put_manifest(self, to: ImageReference, manifest: bytes, wanted: str) -> None:
        headers = {"Content-Type": MANIFEST_TYPE}
        reply = accepted(self._call("PUT", f"{to.base}/manifests/{wanted}", body=manifest, headers=headers), 201)
        _check_named(reply, manifest)

    def _manifest(self, reference: ImageReference) -> tuple[bytes, str]:
        """Return a manifest and its digest, which is what was asked for."""
        reply = self._call("GET", f"{reference.base}/manifests/{reference.wanted}", headers={"Accept": MANIFEST_TYPE})
        if reply.status == 404:
            raise NotThereError("the registry has nothing of this name", where=str(reference), got=reply.reason)
        data = accepted(reply, 200).body
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if reference.digest not in {None, digest}:
            raise IntegrityError(
                "the registry gave something else", where=str(reference), got=digest, expected=reference.digest
            )
        _check_named(reply, data)
        return data, digest

    def _fetch(self, reference: ImageReference, digest: str, size: int, folder: Path, name: str) -> None:
        """Write a blob to a new file while it is hashed."""
        url, headers = f"{reference.base}/blobs/{digest}", self._headers()
        with streamed("GET", url, headers=headers) as (answer, known):
            if answer.status not in {302, 307, 308}:
                _write(answer, HttpReply(answer.status, known, b"", url), (digest, size), folder, name)
                return
            elsewhere = urljoin(url, known.get("location", ""))
        with streamed("GET", elsewhere) as (answer, known):  # the login is the registry's alone
            _write(answer, HttpReply(answer.status, known, b"", elsewhere), (digest, size), folder, name)

    def _call(self, method: str, url: str, *, headers: Mapping[str, str] | None = None, **how: Any) -> HttpReply:
        reply = call(method, url, headers={**self._headers(), **(headers or {})}, most=MAX_MANIFEST, **how)
        if reply.status in {401, 403}:
            raise UserError(
                "the registry does not let you", where=url, got=reply.reason,
                fix="--login-file FILE with USER:PASSWORD; for one that wants tokens, copy with oras or skopeo what "
                "`mlopt pack --oci DIR` writes",
            )  # fmt: skip
        return reply

    def _headers(self) -> dict[str, str]:
        if self.login is None:
            return {}
        return {"Authorization": f"Basic {base64.b64encode(self.login.encode()).decode()}"}


def _write(answer: Any, reply: HttpReply, expected: tuple[str, int], folder: Path, name: str) -> None:
    digest, size = expected
    accepted(reply, 200)
    hashed, seen = hashlib.sha256(), 0
    with creating(folder, name) as write:
        while data := answer.read(_CHUNK):
            hashed.update(data)
            seen += len(data)
            if seen > size:
                break
            write(memoryview(data))
    if (f"sha256:{hashed.hexdigest()}", seen) != expected:
        raise IntegrityError(
            "a file came otherwise than the manifest has it", where=reply.url, got=f"{seen} bytes, sha256 of others",
            expected=f"{size} bytes, {digest}", fix="pull again; if it stays so, the registry is damaged",
        )  # fmt: skip


def _check_named(reply: HttpReply, data: bytes) -> None:
    said, digest = reply.headers.get("docker-content-digest"), f"sha256:{hashlib.sha256(data).hexdigest()}"
    if said not in {None, digest}:
        raise IntegrityError(
            "the registry calls the manifest otherwise", where=reply.url, got=shown(said), expected=digest
        )


def _descriptors(manifest: Mapping[str, Any]) -> list[str]:
    """Return the digests of all blobs of a manifest that was just written, each once."""
    return list(dict.fromkeys(each["digest"] for each in (manifest["config"], *manifest["layers"])))


def _layers(manifest: Mapping[str, Any], where: str) -> dict[str, tuple[str, int]]:
    """Return each file's digest and size, by its name; raises ``IntegrityError`` unless it is an artifact's."""
    found: dict[str, tuple[str, int]] = {}
    layers = manifest.get("layers")
    if manifest.get("artifactType") != oci.ARTIFACT_TYPE or not isinstance(layers, list) or len(layers) > 10_000:
        raise IntegrityError(
            "this is no artifact of mlopt", where=where, got=shown(manifest.get("artifactType")),
            expected=oci.ARTIFACT_TYPE,
        )  # fmt: skip
    for each in layers:
        name, digest, size = _described(each)
        if not is_safe(name) or name in found or not _DIGEST.fullmatch(digest) or size < 0:
            raise IntegrityError("a layer of the manifest is malformed", where=where, got=shown(name))
        found[name] = (digest, size)
    return found


def _described(layer: Any) -> tuple[str, str, int]:
    if not isinstance(layer, dict) or not isinstance(layer.get("annotations"), dict):
        return "", "", -1
    name, digest, size = layer["annotations"].get(_TITLE), layer.get("digest"), layer.get("size")
    if not isinstance(name, str) or not isinstance(digest, str) or type(size) is not int:
        return "", "", -1
    return name, digest, size
