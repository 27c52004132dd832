"""Whatever is done to a signed artifact, ``verify`` says what, or says that it is untouched; never anything else."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlopt.artifact import bundle, files, keys, layout
from mlopt.artifact.sign import sign
from mlopt.artifact.signers import KeySigner
from mlopt.artifact.trust import KeyTrust
from mlopt.artifact.verify import MAX_SIGNATURE_BYTES, verify
from mlopt.errors import IntegrityError, MloptError, OutputError, UserError


@pytest.fixture
def signed(tmp_path: Path, fill: Any) -> Path:
    own = keys.user_key()
    layout.write(tmp_path / "digits", fill(nested=True), seal=lambda folder: sign(folder, KeySigner(own.private)))
    return tmp_path / "digits"


def resign(directory: Path, payload: bytes) -> None:
    """Sign any payload with the user's key, as a careless or hostile tool with the right key would."""
    (directory / "model.sig").write_bytes(KeySigner(keys.user_key().private).sign(payload))


def statement_of(directory: Path) -> dict[str, Any]:
    envelope = bundle.unpack((directory / "model.sig").read_bytes(), "model.sig")
    return json.loads(envelope.payload)  # type: ignore[no-any-return]


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
    (signed / "claims.jsonl").write_text("{}\n")
    assert "claims.jsonl" not in verify(signed).files


def test_the_key_is_given_as_a_file_or_as_a_key(signed: Path) -> None:
    public = keys.public_path(keys.user_key_path())
    assert verify(signed, KeyTrust.of(public)) == verify(signed)


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()])
def test_larger_curves_sign_and_verify(signed: Path, curve: ec.EllipticCurve) -> None:
    private = ec.generate_private_key(curve)
    sign(signed, KeySigner(private))
    assert verify(signed, KeyTrust(private.public_key())).signer == keys.fingerprint(private.public_key())


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def as_symlink(path: Path) -> None:
    path.rename(path.parent.parent / "elsewhere")
    path.symlink_to(path.parent.parent / "elsewhere")


def as_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def as_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").write_text("x")


def hard_linked(path: Path) -> None:
    os.link(path, path.parent.parent / "second_name")


def linked_directory(path: Path) -> None:
    path.rename(path.parent.parent / "raw_elsewhere")
    path.symlink_to(path.parent.parent / "raw_elsewhere", target_is_directory=True)


TAMPERING: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "one bit of the model": (lambda d: flip_a_byte(d / "model.onnx"), "the file was changed", "model.onnx"),
    "model cut short": (lambda d: (d / "model.onnx").write_bytes(b""), "the file was changed", "model.onnx"),
    "manifest edited": (lambda d: flip_a_byte(d / "mlopt.json"), "the file was changed", "mlopt.json"),
    "nested file": (lambda d: flip_a_byte(d / "raw" / "final.json"), "the file was changed", "raw/final.json"),
    "file added": (lambda d: (d / "extra.py").write_text("x"), "the file was added", "extra.py"),
    "hidden file added": (lambda d: (d / ".gitignore").write_text("x"), "the file was added", "'.gitignore'"),
    "hostile name added": (lambda d: (d / "a\n\x1b[2J").write_text("x"), "the file was added", r"'a\n\x1b[2J'"),
    "name that is no text": (lambda d: (d / os.fsdecode(b"\xff")).touch(), "the file was added", r"'\udcff'"),
    "git folder added": (
        lambda d: ((d / ".git").mkdir(), (d / ".git" / "config").touch()), "the file was added", "'.git/config'"),
    "link added": (lambda d: (d / "link").symlink_to("/etc/passwd"), "the file was added", "link"),
    "empty directory added": (lambda d: (d / "empty").mkdir(), "is empty", "'empty/'"),
    "file removed": (lambda d: (d / "report.md").unlink(), "the file was removed", "report.md"),
    "manifest removed": (lambda d: (d / "mlopt.json").unlink(), "the file was removed", "mlopt.json"),
    "file renamed": (lambda d: (d / "report.md").rename(d / "r.md"), "the file was removed", "report.md"),
    "two files swapped": (
        lambda d: ((d / "report.md").rename(d / "x"), (d / "report.json").rename(d / "report.md"),
                   (d / "x").rename(d / "report.json")), "the file was changed", "report.json"),
    "symbolic link": (lambda d: as_symlink(d / "model.onnx"), "it is a symbolic link", "model.onnx"),
    "linked directory": (lambda d: linked_directory(d / "raw"), "the file was removed", "raw/final.json"),
    "hard link": (lambda d: hard_linked(d / "model.onnx"), "2 names", "model.onnx"),
    "named pipe": (lambda d: as_fifo(d / "model.onnx"), "it is no regular file", "model.onnx"),
    "pipe as signature": (lambda d: as_fifo(d / "model.sig"), "it is no regular file", "model.sig"),
    "pipe as claims": (lambda d: os.mkfifo(d / "claims.jsonl"), "it is no regular file", "claims.jsonl"),
    "claims as directory": (
        lambda d: ((d / "claims.jsonl").mkdir(), (d / "claims.jsonl" / "x").touch()),
        "the file was added", "claims.jsonl/x"),
    "file as directory": (lambda d: as_directory(d / "report.md"), "the file was removed", "report.md"),
    "signature removed": (lambda d: (d / "model.sig").unlink(), "the artifact is not signed", "mlopt sign"),
    "signature empty": (lambda d: (d / "model.sig").write_bytes(b""), "not valid JSON", "model.sig"),
    "signature huge": (
        lambda d: (d / "model.sig").write_bytes(bytes(MAX_SIGNATURE_BYTES + 1)), "too large", "model.sig"),
}  # fmt: skip


@pytest.mark.parametrize("case", TAMPERING)
def test_tampering_is_named(signed: Path, case: str) -> None:
    tamper, what, name = TAMPERING[case]
    tamper(signed)
    with pytest.raises(IntegrityError) as caught:
        verify(signed)
    assert what in str(caught.value)
    assert name in str(caught.value)
    assert all(character.isprintable() or character == "\n" for character in str(caught.value))


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


def test_a_forged_key_hint_does_not_help(signed: Path) -> None:
    sign(signed, KeySigner(ec.generate_private_key(ec.SECP256R1())))
    value = json.loads((signed / "model.sig").read_text())
    for hint in (keys.fingerprint(keys.user_public()), None, ""):
        value["verificationMaterial"]["publicKey"]["hint"] = hint
        (signed / "model.sig").write_text(json.dumps(value))
        with pytest.raises(IntegrityError, match="the signature is not valid"):
            verify(signed)


def test_the_signature_of_another_artifact_does_not_help(signed: Path, tmp_path: Path, fill: Any) -> None:
    private = keys.user_key().private
    layout.write(tmp_path / "other", fill(weights=b"other"), seal=lambda folder: sign(folder, KeySigner(private)))
    (tmp_path / "other" / "model.sig").replace(signed / "model.sig")
    with pytest.raises(IntegrityError, match=r"model\.onnx: the file was changed"):
        verify(signed)


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


BUNDLES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no signature": (lambda b: b["dsseEnvelope"]["signatures"].clear(), "'dsseEnvelope.signatures'"),
    "two signatures": (
        lambda b: b["dsseEnvelope"]["signatures"].append(b["dsseEnvelope"]["signatures"][0]),
        "'dsseEnvelope.signatures'",
    ),
    "other media type": (lambda b: b.update(mediaType="application/json"), "'mediaType'"),
    "other payload type": (lambda b: b["dsseEnvelope"].update(payloadType="text/plain"), "payloadType"),
    "not base64": (lambda b: b["dsseEnvelope"].update(payload="%%%"), "base64"),
    "payload is no JSON": (lambda b: b["dsseEnvelope"].update(payload="aGk="), "the signature is not valid"),
    "message instead of envelope": (lambda b: b.pop("dsseEnvelope"), "'dsseEnvelope': Field required"),
    "certificate instead of key": (
        lambda b: b.update(verificationMaterial={"certificate": {"rawBytes": "AA=="}}),
        "publicKey': Field required",
    ),
    "no DER": (lambda b: b["dsseEnvelope"]["signatures"][0].update(sig="AAAA"), "the signature is not valid"),
}


@pytest.mark.parametrize("case", BUNDLES)
def test_a_malformed_bundle_is_refused(signed: Path, case: str) -> None:
    change, message = BUNDLES[case]
    value = json.loads((signed / "model.sig").read_text())
    change(value)
    (signed / "model.sig").write_text(json.dumps(value))
    with pytest.raises(IntegrityError) as caught:
        verify(signed)
    assert message in str(caught.value)
    assert "model.sig" in str(caught.value)


def resource(name: str) -> dict[str, str]:
    return {"name": name, "algorithm": "sha256", "digest": "0" * 64}


STATEMENTS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "other predicate": (lambda s: s.update(predicateType="https://slsa.dev/provenance/v1"), "'predicateType'"),
    "other statement": (lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"), "'_type'"),
    "two subjects": (lambda s: s["subject"].append(s["subject"][0]), "'subject'"),
    "other root digest": (lambda s: s["subject"][0]["digest"].update(sha256="0" * 64), "the root digest is not that"),
    "file left out": (lambda s: s["predicate"]["resources"].pop(), "the root digest is not that"),
    "file twice": (lambda s: s["predicate"]["resources"].append(s["predicate"]["resources"][0]), "names a file twice"),
    "path to elsewhere": (lambda s: s["predicate"]["resources"].append(resource("../../etc/passwd")), "unsafe path"),
    "absolute path": (lambda s: s["predicate"]["resources"].append(resource("/etc/passwd")), "unsafe path"),
    "no path": (lambda s: s["predicate"]["resources"].append(resource("")), "unsafe path"),
    "hidden path": (lambda s: s["predicate"]["resources"].append(resource(".git/config")), "unsafe path"),
    "no files": (lambda s: s["predicate"].update(resources=[]), "resources"),
    "short digest": (lambda s: s["predicate"]["resources"][0].update(digest="00"), "digest"),
    "other algorithm": (lambda s: s["predicate"]["resources"][0].update(algorithm="blake2b"), "algorithm"),
    "shards": (lambda s: s["predicate"]["serialization"].update(method="shards"), "method"),
    "links allowed": (lambda s: s["predicate"]["serialization"].update(allow_symlinks=True), "allow_symlinks"),
}


@pytest.mark.parametrize("case", STATEMENTS)
def test_a_strange_statement_is_refused_even_if_signed(signed: Path, case: str) -> None:
    change, message = STATEMENTS[case]
    value = statement_of(signed)
    change(value)
    resign(signed, json.dumps(value).encode())
    with pytest.raises(IntegrityError) as caught:
        verify(signed)
    assert message in str(caught.value)


def test_a_signed_directory_that_is_no_artifact_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"x")
    payload = bundle.statement("any", {"model.bin": files.sha256(tmp_path, "model.bin")}, ())
    resign(tmp_path, payload)
    with pytest.raises(IntegrityError, match=r"it has no mlopt\.json"):
        verify(tmp_path)


def test_a_signed_lie_about_the_gates_is_found(signed: Path) -> None:
    (signed / "report.json").write_text('{"verdict": "fail"}')
    listed = {name: files.sha256(signed, name) for name in verify_names(signed)}
    resign(signed, bundle.statement("digits", listed, ()))
    with pytest.raises(IntegrityError, match="disagree about the gates"):
        verify(signed)


def verify_names(directory: Path) -> list[str]:
    return [name for name in files.list_files(directory) if name not in layout.UNSIGNED]


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


@FUZZ
@given(data=st.binary(max_size=200))
def test_no_bytes_as_manifest_raise_anything_else(signed: Path, data: bytes) -> None:
    original = (signed / "mlopt.json").read_bytes()
    (signed / "mlopt.json").write_bytes(data)
    resign(signed, bundle.statement("d", {name: files.sha256(signed, name) for name in verify_names(signed)}, ()))
    with pytest.raises(IntegrityError):
        verify(signed)
    (signed / "mlopt.json").write_bytes(original)


def test_verifying_imports_nothing_that_could_run_a_model(signed: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from mlopt.artifact.verify import verify; verify(Path(sys.argv[1]));"
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(signed)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_base64_of_the_payload_is_strict(signed: Path) -> None:
    value = json.loads((signed / "model.sig").read_text())
    payload = value["dsseEnvelope"]["payload"]
    value["dsseEnvelope"]["payload"] = payload[:10] + "\n" + payload[10:]
    (signed / "model.sig").write_text(json.dumps(value))
    assert base64.b64decode(value["dsseEnvelope"]["payload"]) == base64.b64decode(payload)
    with pytest.raises(IntegrityError, match="base64"):
        verify(signed)
