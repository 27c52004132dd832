"""The text of ``model.sig`` is read strictly: one signature, one signer, nothing that two parsers read differently."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopt.artifact.signing import bundle
from mlopt.core.errors import ExitCode, IntegrityError

HINT = bundle.Envelope(b"payload", b"signature", key_id="abc")
CHAIN = bundle.Envelope(b"payload", b"signature", certificates=(b"leaf", b"issuer"))


@pytest.mark.parametrize("envelope", [HINT, CHAIN, bundle.Envelope(b"", b"")], ids=["hint", "chain", "neither"])
def test_what_is_packed_is_unpacked(envelope: bundle.Envelope) -> None:
    packed = bundle.pack(envelope)
    assert packed.endswith(b"}\n")
    assert packed.count(b"\n") == 1
    assert bundle.unpack(packed, "model.sig") == envelope


@given(
    payload=st.binary(max_size=50),
    signature=st.binary(max_size=50),
    certificates=st.lists(st.binary(max_size=20), max_size=bundle.MAX_CERTIFICATES).map(tuple),
)
def test_any_bytes_survive(payload: bytes, signature: bytes, certificates: tuple[bytes, ...]) -> None:
    envelope = bundle.Envelope(payload, signature, certificates=certificates)
    assert bundle.unpack(bundle.pack(envelope), "model.sig") == envelope


def test_a_keyless_bundle_is_told_apart() -> None:
    value = json.loads(bundle.pack(HINT))
    raw = base64.b64encode(b"leaf").decode()
    value["verificationMaterial"] = {"certificate": {"rawBytes": raw}, "tlogEntries": [{"logIndex": "1"}]}
    envelope = bundle.unpack(json.dumps(value).encode(), "model.sig")
    assert (envelope.keyless, envelope.certificates, envelope.key_id) == (True, (b"leaf",), None)


def material(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = value["verificationMaterial"]
    return found


def signatures(value: Any) -> list[Any]:
    found: list[Any] = value["dsseEnvelope"]["signatures"]
    return found


ONE_SIGNER = "exactly one of publicKey, x509CertificateChain and certificate"
RAW = {"rawBytes": "AA=="}
MALFORMED: dict[str, tuple[Callable[[Any], object], str]] = {
    "no signature": (lambda b: signatures(b).clear(), "'dsseEnvelope.signatures'"),
    "two signatures": (lambda b: signatures(b).append(signatures(b)[0]), "'dsseEnvelope.signatures'"),
    "a signature that is no object": (lambda b: signatures(b).__setitem__(0, "x"), "'dsseEnvelope.signatures.0'"),
    "a key and a chain": (lambda b: material(b).update(x509CertificateChain={"certificates": [RAW]}), ONE_SIGNER),
    "a key and a certificate": (lambda b: material(b).update(certificate=RAW), ONE_SIGNER),
    "nobody": (lambda b: material(b).pop("publicKey"), ONE_SIGNER),
    "no material": (lambda b: b.pop("verificationMaterial"), "'verificationMaterial': Field required"),
    "an empty chain": (
        lambda b: b.update(verificationMaterial={"x509CertificateChain": {"certificates": []}}),
        "at least 1 item",
    ),
    "41 certificates": (
        lambda b: b.update(verificationMaterial={"x509CertificateChain": {"certificates": [RAW] * 41}}),
        "at most 10 items",
    ),
    "a certificate that is no base64": (
        lambda b: b.update(verificationMaterial={"x509CertificateChain": {"certificates": [{"rawBytes": "%"}]}}),
        "base64",
    ),
    "a payload that is no base64": (lambda b: b["dsseEnvelope"].update(payload="%%%"), "base64"),
    "a signature that is no base64": (lambda b: signatures(b)[0].update(sig="AAA"), "base64"),
    "base64 beyond ASCII": (lambda b: signatures(b)[0].update(sig="ä"), "base64"),
    "another media type": (lambda b: b.update(mediaType="application/json"), "'mediaType'"),
    "an older bundle": (
        lambda b: b.update(mediaType="application/vnd.dev.sigstore.bundle+json;version=0.2"),
        "'mediaType'",
    ),
    "another payload type": (lambda b: b["dsseEnvelope"].update(payloadType="text/plain"), "payloadType"),
    "a message in place of an envelope": (lambda b: b.pop("dsseEnvelope"), "'dsseEnvelope': Field required"),
    "a hint that is no text": (lambda b: material(b)["publicKey"].update(hint=1), "hint"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_bundle_is_refused(case: str) -> None:
    change, message = MALFORMED[case]
    value = json.loads(bundle.pack(HINT))
    change(value)
    with pytest.raises(IntegrityError, match="the signature file is malformed") as caught:
        bundle.unpack(json.dumps(value).encode(), "model.sig")
    assert caught.value.exit_code == ExitCode.INTEGRITY
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not valid JSON"),
        (b"\xff\xfe{}", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"a": NaN}', "not valid JSON"),
        (b'{"a": 1, "a": 1}', "not valid JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "the signature file is malformed"),
    ],
)
def test_what_is_no_json_object_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(IntegrityError, match=message):
        bundle.unpack(data, "model.sig")


@pytest.mark.heavy
@given(
    st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=9), st.lists),
    st.data(),
)
def test_any_value_in_any_place_raises_nothing_else(value: Any, data: st.DataObject) -> None:
    whole = json.loads(bundle.pack(CHAIN))
    here: Any = whole
    while True:
        key = data.draw(st.sampled_from(list(here) if isinstance(here, dict) else range(len(here))))
        if not isinstance(here[key], dict | list) or not here[key] or data.draw(st.booleans()):
            break
        here = here[key]
    here[key] = value
    with suppress(IntegrityError):
        bundle.unpack(json.dumps(whole).encode(), "model.sig")


@given(st.binary(max_size=300))
def test_any_bytes_raise_nothing_else(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        bundle.unpack(data, "model.sig")
    with pytest.raises(IntegrityError):
        bundle.signed_files(data, "model.sig")
