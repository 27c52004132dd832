"""What ``verify`` says of sound artifacts, and that no bytes whatever make it fail in another way than saying so.

What is done to unsound ones, row by row: ``test_artifact_threats.py``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tampering import SEEN, attest, flip_a_byte, resign, resign_files

from mlopt.artifact import claims, files, layout
from mlopt.artifact.sign import sign
from mlopt.artifact.signing import bundle, keys
from mlopt.artifact.signing.signers import KeySigner
from mlopt.artifact.signing.trust import KeyTrust
from mlopt.artifact.verify import verify
from mlopt.core.errors import IntegrityError, MloptError, OutputError, UserError


@pytest.fixture
def signed(tmp_path: Path, fill: Any) -> Path:
    own = keys.user_key()
    layout.write(tmp_path / "digits", fill(nested=True), seal=lambda folder: sign(folder, KeySigner(own.private)))
    return tmp_path / "digits"


def test_an_untouched_artifact_verifies(signed: Path) -> None:
    verified = verify(signed)
    assert verified.manifest.name == "digits"
    assert verified.manifest.verdict == "pass"
    assert verified.signer == keys.fingerprint(keys.user_public())
    assert set(verified.files) == {"mlopt.json", "model.onnx", "report.json", "report.md", "raw/final.json"}
    assert verified.root == bundle.root_digest(verified.files)


def test_it_verifies_elsewhere_and_under_another_name(signed: Path, tmp_path: Path) -> None:
    signed.rename(tmp_path / "renamed")
    (tmp_path / "link").symlink_to("renamed")
    assert verify(tmp_path / "renamed").manifest == verify(tmp_path / "link").manifest


def test_claims_may_stand_beside_the_signature(signed: Path) -> None:
    assert verify(signed).claims == ()
    private, stranger = keys.user_key().private, ec.generate_private_key(ec.SECP256R1())
    lines = [attest(signed, private, claims.PREDICATES["benchmark"]), attest(signed, private), attest(signed, stranger)]
    (signed / "claims.jsonl").write_bytes(b"".join(lines))
    verified = verify(signed, predicates=["benchmark", SEEN])
    assert "claims.jsonl" not in verified.files
    assert [claim.predicate_type for claim in verified.claims] == [claims.PREDICATES["benchmark"], SEEN]


def test_the_key_is_given_as_a_file_or_as_a_key(signed: Path) -> None:
    public = keys.public_path(keys.user_key_path())
    assert verify(signed, KeyTrust.of(public)) == verify(signed)


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()])
def test_larger_curves_sign_and_verify(signed: Path, curve: ec.EllipticCurve) -> None:
    private = ec.generate_private_key(curve)
    sign(signed, KeySigner(private))
    assert verify(signed, KeyTrust(private.public_key())).signer == keys.fingerprint(private.public_key())


def test_all_problems_are_named_at_once(signed: Path) -> None:
    flip_a_byte(signed / "model.onnx")
    (signed / "report.md").unlink()
    (signed / "extra").touch()
    with pytest.raises(IntegrityError) as caught:
        verify(signed)
    assert [problem.what.split(":")[0] for problem in caught.value.problems] == [
        "the file was removed", "the file was added", "the file was changed after it was signed",
    ]  # fmt: skip


def test_too_many_files_are_not_read(signed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_ENTRIES", 5)
    with pytest.raises(IntegrityError, match="too many files"):
        verify(signed)


def test_another_signer_is_unknown_until_named(signed: Path, tmp_path: Path) -> None:
    public = keys.create_key(tmp_path / "other.key")
    other = keys.load_private(tmp_path / "other.key")
    sign(signed, KeySigner(other))
    with pytest.raises(IntegrityError, match="signed by an unknown key") as caught:
        verify(signed)
    assert keys.fingerprint(other.public_key()) in str(caught.value)
    assert "--key PUB" in str(caught.value)
    assert verify(signed, KeyTrust.of(public)).signer == keys.fingerprint(other.public_key())


def test_a_missing_directory_and_a_missing_key_are_the_users_to_fix(
    signed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="the artifact does not exist"):
        verify(tmp_path / "none")
    with pytest.raises(OutputError, match="the key file does not exist"):
        verify(signed, KeyTrust.of(tmp_path / "none.pub"))
    monkeypatch.setenv("MLOPT_CONFIG", str(tmp_path / "new_user"))
    with pytest.raises(OutputError, match="you have none of your own yet"):
        verify(signed)


def test_an_older_version_is_refused_when_a_newer_one_is_asked_for(signed: Path) -> None:
    assert verify(signed, min_version=1).manifest.version == 1
    with pytest.raises(IntegrityError, match="older than what is asked for"):
        verify(signed, min_version=2)


def test_a_mistyped_predicate_is_a_mistake_of_the_caller(signed: Path) -> None:
    with pytest.raises(UserError, match="there is no predicate of this name") as caught:
        verify(signed, predicates=["provenence"])
    assert "provenance, test-result, benchmark, or a URI" in str(caught.value)


def test_a_signed_directory_that_is_no_artifact_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"x")
    payload = bundle.statement("any", {"model.bin": files.sha256(tmp_path, "model.bin")}, ())
    resign(tmp_path, payload)
    with pytest.raises(IntegrityError, match=r"it has no mlopt\.json"):
        verify(tmp_path)


FUZZ = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@FUZZ
@given(data=st.binary(max_size=200))
def test_no_bytes_as_signature_raise_anything_else(signed: Path, data: bytes) -> None:
    (signed / "model.sig").write_bytes(data)
    with pytest.raises(IntegrityError):
        verify(signed)


@FUZZ
@given(data=st.data())
def test_any_change_to_the_signature_file_is_refused_or_without_effect(signed: Path, data: st.DataObject) -> None:
    original = (signed / "model.sig").read_bytes()
    start = data.draw(st.integers(0, len(original) - 1))
    stop = data.draw(st.integers(start, min(start + 8, len(original))))
    (signed / "model.sig").write_bytes(original[:start] + data.draw(st.binary(max_size=8)) + original[stop:])
    try:
        verified = verify(signed)
    except IntegrityError:
        return
    finally:
        (signed / "model.sig").write_bytes(original)
    assert verified.signer == keys.fingerprint(keys.user_public())


@pytest.mark.heavy
@FUZZ
@given(
    payload=st.binary(max_size=100)
    | st.recursive(
        st.none() | st.integers() | st.text() | st.just("sha256"),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["_type", "subject", "predicate", "predicateType", "resources"]), inner)
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode())
)
def test_no_signed_payload_raises_anything_else(signed: Path, payload: bytes) -> None:
    resign(signed, payload)
    with pytest.raises(MloptError):
        verify(signed)


@pytest.mark.heavy
@FUZZ
@given(data=st.binary(max_size=200))
def test_no_bytes_as_manifest_raise_anything_else(signed: Path, data: bytes) -> None:
    original = (signed / "mlopt.json").read_bytes()
    (signed / "mlopt.json").write_bytes(data)
    resign_files(signed)
    with pytest.raises(IntegrityError):
        verify(signed)
    (signed / "mlopt.json").write_bytes(original)


@pytest.mark.process
def test_verifying_imports_nothing_that_could_run_a_model_or_that_it_can_do_without(signed: Path) -> None:
    code = (
        "import sys; from mlopt.cli.app import run; code = run(['verify', sys.argv[1]]);"
        "print(code, sorted({'torch', 'onnx', 'onnxruntime', 'numpy', 'rich', 'yaml', 'cryptography.x509', 'sigstore',"
        " 'concurrent.futures'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(signed)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"
