"""A sigstore instance of one's own on this machine: issuer, authority and log over HTTP, as their clients expect them.

It lets keyless signing run where the public instance cannot be reached. Its root of trust is its own, so nothing that
it signs is believed anywhere else. The protocols: https://github.com/sigstore/fulcio (API v2),
https://github.com/sigstore/rekor (API v1), and RFC 6962 for the certificate's timestamp.
"""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

IDENTITY = "https://ci.example/team/repo/.workflows/release@refs/heads/main"
ISSUER = "https://ci.example"


class LocalSigstore:
    """Three keys, and what their holders answer."""

    def __init__(self) -> None:
        self.authority, self.transparency, self.log = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        self.url = ""
        self.lifetime = timedelta(minutes=10)
        self.certificates = 0
        self.root = self._certificate(self.authority.public_key(), None)

    def answer(self, path: str, request: dict[str, Any]) -> Any:
        """Return what the server says to a request."""
        if path.startswith("/token"):
            return {"value": self._token()}
        if path == "/api/v2/signingCert":
            self.certificates += 1
            key = x509.load_pem_x509_csr(base64.b64decode(request["certificateSigningRequest"])).public_key()
            assert isinstance(key, ec.EllipticCurvePublicKey)
            leaf = self._certificate(key, self._timestamp(self._certificate(key, b"")))
            chain = [certificate.public_bytes(Encoding.PEM).decode() for certificate in (leaf, self.root)]
            return {"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}
        assert path == "/api/v1/log/entries", path
        return {"0" * 64: self._entry(request["spec"]["proposedContent"])}

    def trust_config(self) -> str:
        """Return the client's configuration: whom it believes, and where it finds them."""
        since = {"start": "2020-01-01T00:00:00Z"}

        def log(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
            public = {"rawBytes": _text(_spki(key)), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": since}
            key_id = {"keyId": _text(_key_id(key))}
            return {"baseUrl": self.url, "hashAlgorithm": "SHA2_256", "publicKey": public, "logId": key_id}

        def service() -> list[dict[str, Any]]:
            return [{"url": self.url, "majorApiVersion": 1, "validFor": since, "operator": "local"}]

        authority = {
            "subject": {"organization": "local", "commonName": "local"}, "uri": self.url, "validFor": since,
            "certChain": {"certificates": [{"rawBytes": _text(self.root.public_bytes(Encoding.DER))}]},
        }  # fmt: skip
        trusted = {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(self.log)], "ctlogs": [log(self.transparency)],
            "certificateAuthorities": [authority], "timestampAuthorities": [],
        }  # fmt: skip
        services = {
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls": service(), "oidcUrls": service(), "rekorTlogUrls": service(), "tsaUrls": [],
            "rekorTlogConfig": {"selector": "ANY"}, "tsaConfig": {"selector": "ANY"},
        }  # fmt: skip
        media_type = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"
        return json.dumps({"mediaType": media_type, "trustedRoot": trusted, "signingConfig": services})

    def _token(self) -> str:
        now = int(datetime.now(UTC).timestamp())
        claims = {"iss": ISSUER, "sub": "repo:team/repo", "aud": "sigstore", "iat": now, "exp": now + 300}
        return jwt.encode(claims, "k" * 32, algorithm="HS256")

    def _certificate(self, key: ec.EllipticCurvePublicKey, timestamp: bytes | None) -> x509.Certificate:
        """Return the root's certificate (None), a leaf without a log's timestamp (empty), or a leaf with it."""
        is_root, now = timestamp is None, datetime.now(UTC).replace(microsecond=0)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "local")])
        usage = x509.KeyUsage(not is_root, False, False, False, False, is_root, False, False, False)
        builder = (
            x509.CertificateBuilder(name, name if is_root else x509.Name([]), key, 1 if is_root else 2)
            .not_valid_before(now - timedelta(seconds=1))
            .not_valid_after(now + (timedelta(days=1) if is_root else self.lifetime))
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )
        if is_root:
            return builder.add_extension(x509.BasicConstraints(True, None), True).sign(self.authority, hashes.SHA256())
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.authority.public_key())
        issuer = x509.UnrecognizedExtension(
            x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8"), bytes([0x0C, len(ISSUER)]) + ISSUER.encode()
        )
        builder = (
            builder.add_extension(issuer_key, False)
            .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CODE_SIGNING]), False)
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(IDENTITY)]), True)
            .add_extension(issuer, False)
        )
        if timestamp:
            oid = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
            builder = builder.add_extension(x509.UnrecognizedExtension(oid, timestamp), False)
        return builder.sign(self.authority, hashes.SHA256())

    def _timestamp(self, certificate: x509.Certificate) -> bytes:
        """Return the transparency log's promise to list a certificate: an octet string with a list of one."""
        content, now = certificate.tbs_certificate_bytes, int(datetime.now(UTC).timestamp() * 1000)
        head = struct.pack("!BBQH", 0, 0, now, 1)
        entry = _key_id(self.authority) + len(content).to_bytes(3, "big") + content
        signature = _signature(self.transparency, head + entry + b"\0\0")
        promise = b"\0" + _key_id(self.transparency) + struct.pack("!QHBBH", now, 0, 4, 3, len(signature)) + signature
        listed = struct.pack("!HH", len(promise) + 2, len(promise)) + promise
        return bytes([0x04, len(listed)]) + listed if len(listed) < 128 else bytes([0x04, 0x81, len(listed)]) + listed

    def _entry(self, proposed: dict[str, Any]) -> dict[str, Any]:
        """Return the one entry of a log of size one, with the proof that it is in it."""
        envelope = json.loads(proposed["envelope"])
        payload = base64.b64decode(envelope["payload"])
        body = _canonical({
            "apiVersion": "0.0.1", "kind": "dsse",
            "spec": {
                "envelopeHash": {"algorithm": "sha256", "value": _hex(proposed["envelope"].encode())},
                "payloadHash": {"algorithm": "sha256", "value": _hex(payload)},
                "signatures": [{"signature": envelope["signatures"][0]["sig"], "verifier": proposed["verifiers"][0]}],
            },
        })  # fmt: skip
        root = hashlib.sha256(b"\0" + body).digest()
        note = f"local - 1\n1\n{_text(root)}\n"
        mark = _text(_key_id(self.log)[:4] + _signature(self.log, note.encode()))
        listed = {
            "body": _text(body), "integratedTime": int(datetime.now(UTC).timestamp()),
            "logID": _key_id(self.log).hex(), "logIndex": 0,
        }  # fmt: skip
        proof = {
            "logIndex": 0, "rootHash": root.hex(), "treeSize": 1, "hashes": [],
            "checkpoint": f"{note}\n\u2014 local {mark}\n",
        }  # fmt: skip
        promise = _text(_signature(self.log, _canonical(listed)))
        return {**listed, "verification": {"inclusionProof": proof, "signedEntryTimestamp": promise}}


def isolate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let a test reach nothing but this machine, in no CI job, and without the user's caches."""
    connect, resolve = socket.socket.connect, socket.getaddrinfo

    def connect_here(self: socket.socket, address: Any) -> None:
        if address[0] != "127.0.0.1":
            raise OSError("this test has no network")
        connect(self, address)

    def resolve_here(host: Any, *rest: Any, **more: Any) -> Any:
        if host != "127.0.0.1":
            raise OSError("this test has no network")
        return resolve(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_here)
    monkeypatch.setattr(socket.socket, "connect", connect_here)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for name in ("GITHUB_ACTIONS", "GITLAB_CI", "CIRCLECI", "BUILDKITE", "SIGSTORE_ID_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def serving() -> Iterator[LocalSigstore]:
    """Serve an instance on a free port of this machine."""
    instance = LocalSigstore()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, request: dict[str, Any]) -> None:
            data = json.dumps(instance.answer(self.path, request)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    instance.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield instance
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _key_id(key: ec.EllipticCurvePrivateKey) -> bytes:
    return hashlib.sha256(_spki(key)).digest()


def _signature(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
