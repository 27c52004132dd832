"""Keyless signatures, against a real one of the public sigstore instance, without the network.

``fixtures/keyless.sigstore.json`` is the SLSA attestation of ``pypi_attestations-0.0.19.tar.gz``, out of the source
distribution of the package pypi-attestations 0.0.30 (Apache-2.0), there ``test/assets/*.slsa.attestation``, converted
into a bundle by that package's ``Attestation.to_bundle``.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlopt.artifact.signing.base import UnknownSignerError
from mlopt.artifact.signing.signers import KeySigner
from mlopt.artifact.signing.trust import KeyTrust
from mlopt.core.errors import IntegrityError, MissingPackage, MloptError, OutputError, UserError
from mlopt.core.packages import install_command

pytest.importorskip("sigstore", reason="needs the extra keyless")

from local_sigstore import isolate

from mlopt.artifact.signing.keyless import KeylessSigner, KeylessTrust

BUNDLE = (Path(__file__).parents[1] / "fixtures" / "keyless.sigstore.json").read_bytes()
WORKFLOW = "https://github.com/trailofbits/pypi-attestations/.github/workflows/release.yml@refs/tags/v0.0.19"
GITHUB = "https://token.actions.githubusercontent.com"


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate(monkeypatch, tmp_path)


def changed(change: Callable[[dict[str, Any]], None]) -> bytes:
    value = json.loads(BUNDLE)
    change(value)
    return json.dumps(value).encode()


def test_a_real_signature_verifies_without_the_network(capfd: pytest.CaptureFixture[str]) -> None:
    opened = KeylessTrust(WORKFLOW, GITHUB).open(BUNDLE, "model.sig")
    assert opened.signer == f"{WORKFLOW} ({GITHUB})"
    assert json.loads(opened.statement)["predicateType"] == "https://slsa.dev/provenance/v1"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("identity", "issuer"),
    [
        ("somebody@example.org", GITHUB),
        (WORKFLOW, "https://accounts.google.com"),
        (WORKFLOW.replace("v0.0.19", "v0.0.20"), GITHUB),
        (WORKFLOW[:-1], GITHUB),
        (WORKFLOW, f"{GITHUB}/"),
        (GITHUB, WORKFLOW),
    ],
    ids=["identity", "issuer", "another tag", "a prefix", "a slash more", "exchanged"],
)
def test_another_signer_is_not_believed(identity: str, issuer: str) -> None:
    with pytest.raises(UnknownSignerError) as caught:
        KeylessTrust(identity, issuer).open(BUNDLE, "model.sig")
    assert caught.value.exit_code == 4
    problem = caught.value.problems[0]
    assert problem.what == "signed by another identity, or one that another issuer proved"
    assert problem.expected == f"{identity} ({issuer})"
    assert problem.got is not None
    assert problem.got.startswith(f"'{WORKFLOW} (")


def _payload(value: dict[str, Any]) -> None:
    payload = base64.b64decode(value["dsseEnvelope"]["payload"]).replace(b"0.0.19", b"0.0.91")
    value["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()


def _signature(value: dict[str, Any]) -> None:
    signature = ec.generate_private_key(ec.SECP256R1()).sign(b"something else", ec.ECDSA(hashes.SHA256()))
    value["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(signature).decode()


def _entry(value: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = value["verificationMaterial"]["tlogEntries"][0]
    return entry


def _other_entry_body(value: dict[str, Any]) -> None:
    body = base64.b64decode(_entry(value)["canonicalizedBody"]).replace(b'"sha256"', b'"sha512"')
    _entry(value)["canonicalizedBody"] = base64.b64encode(body).decode()


def _late(value: dict[str, Any]) -> None:
    _entry(value)["integratedTime"] = str(int(_entry(value)["integratedTime"]) + 3600)


def _certificate_of_nobody(value: dict[str, Any]) -> None:
    raw = base64.b64decode(value["verificationMaterial"]["certificate"]["rawBytes"])
    other = raw[:-8] + bytes(8)
    value["verificationMaterial"]["certificate"]["rawBytes"] = base64.b64encode(other).decode()


THREATS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "payload": (_payload, "DSSE: invalid signature"),
    "signature": (_signature, "DSSE: invalid signature"),
    "no log entry": (lambda v: v["verificationMaterial"].update(tlogEntries=[]), "expected exactly one log entry"),
    "two log entries": (
        lambda v: v["verificationMaterial"]["tlogEntries"].append(_entry(v)), "expected exactly one log entry",
    ),
    "no inclusion proof": (lambda v: _entry(v).pop("inclusionProof"), "inclusionProof"),
    "no time": (lambda v: _entry(v).pop("inclusionPromise"), "inclusion promise or signed timestamp"),
    "another log entry": (_other_entry_body, "invalid log entry"),
    "signed after the certificate ended": (_late, "failed to build timestamp certificate chain"),
    "certificate of nobody": (_certificate_of_nobody, "failed to build timestamp certificate chain"),
    "certificate is garbage": (
        lambda v: v["verificationMaterial"]["certificate"].update(rawBytes="AAAA"), "error parsing asn1",
    ),
}  # fmt: skip

MALFORMED: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "payload type": (lambda v: v["dsseEnvelope"].update(payloadType="text/plain"), "dsseEnvelope.payloadType"),
    "no signature": (lambda v: v["dsseEnvelope"].update(signatures=[]), "dsseEnvelope.signatures"),
    "two signatures": (lambda v: v["dsseEnvelope"]["signatures"].append({"sig": "AAAA"}), "dsseEnvelope.signatures"),
    "no envelope": (lambda v: v.pop("dsseEnvelope"), "dsseEnvelope"),
    "an older format": (
        lambda v: v.update(mediaType="application/vnd.dev.sigstore.bundle+json;version=0.2"), "mediaType",
    ),
    "a key beside the certificate": (
        lambda v: v["verificationMaterial"].update(publicKey={"hint": ""}), "verificationMaterial",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", THREATS)
def test_what_was_tampered_with_is_refused(name: str) -> None:
    change, reason = THREATS[name]
    with pytest.raises(IntegrityError) as caught:
        KeylessTrust(WORKFLOW, GITHUB).open(changed(change), "model.sig")
    problem = caught.value.problems[0]
    assert caught.value.exit_code == 4
    assert not isinstance(caught.value, UnknownSignerError)
    assert problem.what == "the keyless signature is not valid"
    assert reason in (problem.got or "")


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_such_bundle_is_refused(name: str) -> None:
    change, place = MALFORMED[name]
    with pytest.raises(IntegrityError, match="the signature file is malformed") as caught:
        KeylessTrust(WORKFLOW, GITHUB).open(changed(change), "model.sig")
    assert caught.value.exit_code == 4
    assert place in (caught.value.problems[0].got or "")


def test_a_json_key_twice_is_refused() -> None:
    twice = BUNDLE.replace(b'{"mediaType"', b'{"dsseEnvelope":{},"mediaType"', 1)
    with pytest.raises(IntegrityError, match="a key occurs twice"):
        KeylessTrust(WORKFLOW, GITHUB).open(twice, "model.sig")


def test_a_signature_of_a_key_is_of_nobody_known() -> None:
    by_key = KeySigner(ec.generate_private_key(ec.SECP256R1())).sign(b"{}")
    with pytest.raises(UnknownSignerError, match="signed by a key, not by an identity"):
        KeylessTrust(WORKFLOW, GITHUB).open(by_key, "model.sig")


def test_a_keyless_signature_is_not_believed_without_identity_and_issuer() -> None:
    with pytest.raises(IntegrityError) as caught:
        KeyTrust(ec.generate_private_key(ec.SECP256R1()).public_key()).open(BUNDLE, "model.sig")
    assert caught.value.exit_code == 4
    for identity, issuer in [(WORKFLOW, ""), ("", GITHUB), ("", "")]:
        with pytest.raises(UserError, match="needs both an identity and its issuer"):
            KeylessTrust(identity, issuer)


@pytest.mark.heavy
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_changed_bytes_raise_only_the_own_error(data: st.DataObject) -> None:
    """Change one value somewhere in the bundle: nothing but the real payload may come out."""
    trust = KeylessTrust(WORKFLOW, GITHUB)
    value = json.loads(BUNDLE)
    holder, key = data.draw(st.sampled_from(list(_places(value))))
    odd = st.one_of(st.none(), st.integers(), st.text(), st.just([]), st.just({}), st.floats(allow_nan=False))
    holder[key] = data.draw(st.one_of(odd, _flipped(holder[key])))
    try:
        opened = trust.open(json.dumps(value).encode(), "model.sig")
    except MloptError as error:
        assert isinstance(error, IntegrityError)  # noqa: PT017
    else:
        assert opened.statement == base64.b64decode(json.loads(BUNDLE)["dsseEnvelope"]["payload"])


def _places(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from _places(inner)


def _flipped(text: Any) -> st.SearchStrategy[Any]:
    """Base64 text with one byte of its content changed."""
    if not isinstance(text, str) or len(text) < 16 or len(text) % 4:
        return st.just(text)
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        return st.just(text)
    return st.builds(
        lambda place, byte: base64.b64encode(raw[:place] + bytes([byte]) + raw[place + 1 :]).decode(),
        st.integers(0, len(raw) - 1), st.integers(0, 255),
    )  # fmt: skip


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sigstore", None)
    for make in (KeylessSigner, lambda: KeylessTrust(WORKFLOW, GITHUB)):
        with pytest.raises(MissingPackage, match=r"fix +" + re.escape(install_command("keyless"))):
            make()


def test_a_root_of_trust_that_cannot_be_kept_is_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file in the place of the folder")
    with pytest.raises(OutputError, match="sigstore's root of trust cannot be read"):
        KeylessTrust(WORKFLOW, GITHUB).open(BUNDLE, "model.sig")
