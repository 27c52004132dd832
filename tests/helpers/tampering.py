"""What can be done to a signed artifact, by somebody without the key and by a careless or hostile one with it."""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from mlopt.artifact import claims
from mlopt.artifact.sign import digest, sign
from mlopt.artifact.signing import bundle, keys
from mlopt.artifact.signing.signers import KeySigner

SEEN = "https://example.org/seen"
Change = Callable[[Any], object]


def resign(directory: Path, payload: bytes) -> None:
    """Sign any payload with the user's key, as a careless or hostile tool with the right key would."""
    (directory / "model.sig").write_bytes(KeySigner(keys.user_key().private).sign(payload))


def resign_files(directory: Path) -> None:
    """Sign the files as they are, sound or not."""
    resign(directory, bundle.statement("digits", digest(directory).files, ()))


def statement_of(directory: Path) -> dict[str, Any]:
    envelope = bundle.unpack((directory / "model.sig").read_bytes(), "model.sig")
    return json.loads(envelope.payload)  # type: ignore[no-any-return]


def attest(directory: Path, private: ec.EllipticCurvePrivateKey, kind: str = SEEN) -> bytes:
    """Return one line for ``claims.jsonl``."""
    found = digest(directory)
    return KeySigner(private).sign(claims.statement("digits", found.root, found.files, kind, {"seen": True}))


# What is done to the files.


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def swap(one: Path, other: Path) -> None:
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def write(path: Path, content: str = "x") -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)


def as_symlink(path: Path) -> None:
    elsewhere = path.parent.parent / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def as_fifo(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def as_socket(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mknod(path, stat.S_IFSOCK | 0o600)


def as_directory(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()
    (path / "x").touch()


def as_empty_directory(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def as_gigabyte(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 30)  # a hole: it takes no room


def deep_nest(path: Path, depth: int) -> None:
    for _ in range(depth):
        path = path / "d"
        path.mkdir()


# What is done to the signature.


def in_bundle(change: Change) -> Callable[[Path], None]:
    """Change the JSON of ``model.sig``; the signature in it stays what it was."""

    def tamper(directory: Path) -> None:
        value = json.loads((directory / "model.sig").read_text())
        change(value)
        (directory / "model.sig").write_text(json.dumps(value))

    return tamper


def in_signature(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Change the signature's DER."""

    def tamper(value: dict[str, Any]) -> None:
        (only,) = value["dsseEnvelope"]["signatures"]
        only["sig"] = base64.b64encode(change(base64.b64decode(only["sig"]))).decode()

    return in_bundle(tamper)


def unsigned_statement(change: Change) -> Callable[[Path], None]:
    """Change the statement, as one without the key would."""

    def tamper(value: dict[str, Any]) -> None:
        statement = json.loads(base64.b64decode(value["dsseEnvelope"]["payload"]))
        change(statement)
        value["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()

    return in_bundle(tamper)


def signed_statement(change: Change) -> Callable[[Path], None]:
    """Change the statement and sign it anew, with the right key and a root digest that fits."""

    def tamper(directory: Path) -> None:
        statement = statement_of(directory)
        before = json.dumps(statement["subject"])
        change(statement)
        if json.dumps(statement["subject"]) == before:
            listed = statement["predicate"]["resources"]
            digests = {str(number): one["digest"] for number, one in enumerate(listed) if len(one["digest"]) == 64}
            statement["subject"][0]["digest"]["sha256"] = bundle.root_digest(digests)
        resign(directory, json.dumps(statement).encode())

    return tamper


def signed_name(name: str) -> Callable[[Path], None]:
    """List one more file, of any name, in the signed statement."""
    return signed_statement(lambda statement: resources(statement).append(resource(name)))


def signed_payload(payload: bytes) -> Callable[[Path], None]:
    return lambda directory: resign(directory, payload)


def signed_file(name: str, content: bytes) -> Callable[[Path], None]:
    """Exchange a file and sign the whole anew, with the right key."""

    def tamper(directory: Path) -> None:
        (directory / name).write_bytes(content)
        resign_files(directory)

    return tamper


def in_manifest(change: Change) -> Callable[[Path], None]:
    """Change ``mlopt.json`` and sign the whole anew, with the right key."""

    def tamper(directory: Path) -> None:
        manifest = json.loads((directory / "mlopt.json").read_text())
        change(manifest)
        signed_file("mlopt.json", json.dumps(manifest).encode())(directory)

    return tamper


def signature_bytes(data: bytes) -> Callable[[Path], object]:
    return lambda directory: (directory / "model.sig").write_bytes(data)


def resource(name: str) -> dict[str, str]:
    return {"name": name, "algorithm": "sha256", "digest": "0" * 64}


def resources(statement: dict[str, Any]) -> list[dict[str, str]]:
    return statement["predicate"]["resources"]  # type: ignore[no-any-return]


def swap_names(statement: dict[str, Any]) -> None:
    """Exchange two names and leave the digests in their order: the root digest stays the same."""
    first, second, *_ = resources(statement)
    first["name"], second["name"] = second["name"], first["name"]


def signed_by_other(hint: str | None) -> Callable[[Path], None]:
    """Sign with another key, and claim to be the key of this hint ("own": the trusted one; "" and None: none)."""

    def tamper(directory: Path) -> None:
        sign(directory, KeySigner(ec.generate_private_key(ec.SECP256R1())))
        claimed = keys.fingerprint(keys.user_public()) if hint == "own" else hint
        in_bundle(lambda value: value["verificationMaterial"]["publicKey"].update(hint=claimed))(directory)

    return tamper


def signature_of_another(directory: Path) -> None:
    """Put the signature of another artifact there, made by the same key."""
    statement = bundle.statement("digits", dict(digest(directory).files, **{"model.onnx": "0" * 64}), ())
    resign(directory, statement)


def claim_as_signature(directory: Path) -> None:
    (directory / "model.sig").write_bytes(attest(directory, keys.user_key().private))


def claim_lines(data: bytes) -> Callable[[Path], object]:
    return lambda directory: (directory / "claims.jsonl").write_bytes(data)


def claim_of_another(directory: Path) -> None:
    line = attest(directory, keys.user_key().private)
    signed_file("report.md", b"# Another report\n")(directory)
    (directory / "claims.jsonl").write_bytes(line)


def claim_by_another(directory: Path) -> None:
    line = attest(directory, ec.generate_private_key(ec.SECP256R1()), claims.PREDICATES["provenance"])
    (directory / "claims.jsonl").write_bytes(line)
