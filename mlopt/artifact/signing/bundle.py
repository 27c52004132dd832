"""The file ``model.sig``: OpenSSF Model Signing v1.0, as bytes. No keys and no file system here.

A sigstore bundle v0.3 says who signed, and holds a DSSE envelope, which holds an in-toto statement: each file's
SHA-256, and one root digest over all of them. The formats: https://github.com/sigstore/protobuf-specs (bundle),
https://github.com/secure-systems-lab/dsse (envelope, PAE), https://in-toto.io/Statement/v1 (statement),
https://github.com/sigstore/model-transparency (predicate).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mlopt.artifact.files import first_problem, is_safe, parse_json, shown
from mlopt.core.errors import IntegrityError

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"

MAX_CERTIFICATES = 10

_Hex256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True)
class Envelope:
    """What was signed, the signature over its PAE (ECDSA, DER), and who claims to have signed it."""

    payload: bytes
    signature: bytes
    key_id: str | None = None
    """The fingerprint of the signer's key, where there is no certificate: a hint that is not signed itself."""
    certificates: tuple[bytes, ...] = ()
    """The certificate of the signer's key, then those that lead from it towards a root: DER, not looked at here."""
    keyless: bool = False
    """The one certificate is of sigstore's authority, and an entry in its log goes with it."""


def pae(payload: bytes) -> bytes:
    """Return the bytes that the signature covers: DSSE's pre-authentication encoding of the payload."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def root_digest(digests: Mapping[str, str]) -> str:
    """Return the SHA-256 over the files' digests, in the order given; the format does not put names into it."""
    return hashlib.sha256(b"".join(map(bytes.fromhex, digests.values()))).hexdigest()


def statement(name: str, digests: Mapping[str, str], ignored: tuple[str, ...]) -> bytes:
    """Return the in-toto statement over files (name -> SHA-256, sorted by name); ``ignored`` stand outside it."""
    value = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": root_digest(digests)}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "serialization": {
                "method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": list(ignored),
            },
            "resources": [
                {"name": file, "algorithm": "sha256", "digest": digest} for file, digest in digests.items()
            ],
        },
    }  # fmt: skip
    return json.dumps(value, separators=(",", ":")).encode()


def pack(envelope: Envelope) -> bytes:
    """Return the text of ``model.sig``; keyless bundles are not made here."""
    if envelope.certificates:
        encoded = [{"rawBytes": base64.b64encode(der).decode()} for der in envelope.certificates]
        material: dict[str, Any] = {"x509CertificateChain": {"certificates": encoded}}
    else:
        material = {"publicKey": {"hint": envelope.key_id}}
    value = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {**material, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(envelope.payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(envelope.signature).decode(), "keyid": ""}],
        },
    }
    return (json.dumps(value) + "\n").encode()


def unpack(data: bytes, where: str) -> Envelope:
    """Read ``model.sig``; raises ``IntegrityError`` unless it is a bundle with exactly one signature and one signer."""
    parse_json(data, where)
    try:
        bundle = _Bundle.model_validate_json(data, strict=True)
        material = bundle.material
        return Envelope(
            payload=_decode(bundle.dsse.payload),
            signature=_decode(bundle.dsse.signatures[0].sig),
            key_id=material.public_key.hint if material.public_key else None,
            certificates=tuple(_decode(certificate.raw_bytes) for certificate in material.certificates()),
            keyless=material.certificate is not None,
        )
    except ValidationError as error:
        raise IntegrityError(
            "the signature file is malformed", where=where, got=first_problem(error), expected=MEDIA_TYPE
        ) from error
    except (binascii.Error, ValueError) as error:
        raise IntegrityError("the signature file is malformed", where=where, got=f"base64: {error}") from error


def _decode(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def signed_files(payload: bytes, where: str) -> dict[str, str]:
    """Return the signed files, name -> SHA-256; raises ``IntegrityError`` when the statement is not a sound one."""
    parse_json(payload, where)
    try:
        signed = _Statement.model_validate_json(payload, strict=True)
    except ValidationError as error:
        raise IntegrityError(
            "the signed statement is malformed", where=where, got=first_problem(error), expected=PREDICATE_TYPE
        ) from error
    digests = {resource.name: resource.digest for resource in signed.predicate.resources}
    if len(digests) != len(signed.predicate.resources):
        raise IntegrityError("the signed statement names a file twice", where=where)
    unsafe = [name for name in digests if not is_safe(name)]
    if unsafe:
        raise IntegrityError("the signed statement names an unsafe path", where=where, got=shown(unsafe[0]))
    if root_digest(digests) != signed.subject[0].digest.sha256:
        raise IntegrityError("the root digest is not that of the files named", where=where)
    return digests


class _Part(BaseModel):
    model_config = ConfigDict(defer_build=True)  # only what is read is built, and as one


class _PublicKey(_Part):
    hint: str | None = None


class _Certificate(_Part):
    raw_bytes: str = Field(alias="rawBytes")


class _Chain(_Part):
    certificates: tuple[_Certificate, ...] = Field(min_length=1, max_length=MAX_CERTIFICATES)


class _Material(_Part):
    public_key: _PublicKey | None = Field(default=None, alias="publicKey")
    chain: _Chain | None = Field(default=None, alias="x509CertificateChain")
    certificate: _Certificate | None = None

    def certificates(self) -> tuple[_Certificate, ...]:
        if self.chain is not None:
            return self.chain.certificates
        return (self.certificate,) if self.certificate is not None else ()

    @model_validator(mode="after")
    def _one_signer(self) -> Self:
        if [self.public_key, self.chain, self.certificate].count(None) != 2:
            raise ValueError("exactly one of publicKey, x509CertificateChain and certificate says who signed")
        return self


class _Signature(_Part):
    sig: str


class _Dsse(_Part):
    payload: str
    payload_type: Literal["application/vnd.in-toto+json"] = Field(alias="payloadType")
    signatures: tuple[_Signature, ...] = Field(min_length=1, max_length=1)


class _Bundle(_Part):
    media_type: Literal["application/vnd.dev.sigstore.bundle.v0.3+json"] = Field(alias="mediaType")
    material: _Material = Field(alias="verificationMaterial")
    dsse: _Dsse = Field(alias="dsseEnvelope")


class _Digest(_Part):
    sha256: _Hex256


class _Subject(_Part):
    digest: _Digest


class _Serialization(_Part):
    method: Literal["files"]
    hash_type: Literal["sha256"]
    allow_symlinks: Literal[False]


class _Resource(_Part):
    name: str
    algorithm: Literal["sha256"]
    digest: _Hex256


class _Predicate(_Part):
    serialization: _Serialization
    resources: tuple[_Resource, ...] = Field(min_length=1)


class _Statement(_Part):
    type_: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: tuple[_Subject, ...] = Field(min_length=1, max_length=1)
    predicate_type: Literal["https://model_signing/signature/v1.0"] = Field(alias="predicateType")
    predicate: _Predicate
