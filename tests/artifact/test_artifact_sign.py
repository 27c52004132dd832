"""``model.sig`` is what other tools expect, and is made only of an artifact that may be signed."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from mlopt.artifact import layout
from mlopt.artifact.sign import digest, sign
from mlopt.artifact.signing import bundle, keys
from mlopt.artifact.signing.signers import KeySigner
from mlopt.artifact.signing.trust import KeyTrust
from mlopt.artifact.verify import verify
from mlopt.core.errors import IntegrityError, OutputError


@pytest.fixture
def artifact(tmp_path: Path, fill: Any) -> Path:
    layout.write(tmp_path / "digits", fill(nested=True))
    return tmp_path / "digits"


def test_the_statement_lists_every_file_with_its_sha256(artifact: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    assert sign(artifact, KeySigner(key)) == artifact / "model.sig"
    value = json.loads((artifact / "model.sig").read_text())
    assert value["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert value["verificationMaterial"]["publicKey"]["hint"] == keys.fingerprint(key.public_key())
    statement = json.loads(base64.b64decode(value["dsseEnvelope"]["payload"]))
    assert statement["predicateType"] == "https://model_signing/signature/v1.0"
    assert statement["subject"][0]["name"] == "digits"
    resources = statement["predicate"]["resources"]
    assert [entry["name"] for entry in resources] == [
        "mlopt.json", "model.onnx", "raw/final.json", "report.json", "report.md",
    ]  # fmt: skip
    hashes = [hashlib.sha256((artifact / entry["name"]).read_bytes()) for entry in resources]
    assert [entry["digest"] for entry in resources] == [value.hexdigest() for value in hashes]
    root = hashlib.sha256(b"".join(value.digest() for value in hashes)).hexdigest()
    assert statement["subject"][0]["digest"] == {"sha256": root}
    assert digest(artifact).root == root


def test_the_signature_covers_the_pre_authentication_encoding() -> None:
    assert bundle.pae(b"hi \xff") == b"DSSEv1 28 application/vnd.in-toto+json 4 hi \xff"


@pytest.mark.parametrize("verdict", ["fail", "inconclusive"])
def test_what_did_not_pass_is_signed_on_demand_only_and_says_so(tmp_path: Path, fill: Any, verdict: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    layout.write(tmp_path / "digits", fill(verdict))
    with pytest.raises(OutputError, match="not signed: its gates did not pass") as caught:
        sign(tmp_path / "digits", KeySigner(key))
    assert "--allow-ungated" in str(caught.value)
    assert not (tmp_path / "digits" / "model.sig").exists()
    sign(tmp_path / "digits", KeySigner(key), allow_ungated=True)
    manifest = verify(tmp_path / "digits", KeyTrust(key.public_key())).manifest
    assert manifest.ungated
    assert manifest.verdict == verdict


def test_signing_again_replaces_the_signature(artifact: Path) -> None:
    for _ in range(2):
        key = ec.generate_private_key(ec.SECP256R1())
        sign(artifact, KeySigner(key))
        assert verify(artifact, KeyTrust(key.public_key())).signer == keys.fingerprint(key.public_key())
    assert (artifact / "model.sig").stat().st_mode & 0o044 == 0o044 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_more_or_less_than_listed_is_not_signed(artifact: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    (artifact / "extra.txt").touch()
    with pytest.raises(IntegrityError, match=r"a file is not listed in mlopt\.json"):
        sign(artifact, KeySigner(key))
    (artifact / "extra.txt").unlink()
    (artifact / "report.md").unlink()
    with pytest.raises(IntegrityError, match="a listed file is missing"):
        sign(artifact, KeySigner(key))


def test_an_embellished_verdict_is_not_signed(tmp_path: Path, fill: Any) -> None:
    out = tmp_path / "digits"
    layout.write(out, fill("fail"))
    (out / "mlopt.json").write_text((out / "mlopt.json").read_text().replace('"fail"', '"pass"'))
    with pytest.raises(IntegrityError, match="disagree about the gates"):
        sign(out, KeySigner(ec.generate_private_key(ec.SECP256R1())))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([".hidden"], "cannot be signed: '.hidden'"),
        (["a b"], "cannot be signed: 'a b'"),
        (["raw/x", "raw.json"], "a directory X stands beside a file X"),
    ],
)
def test_names_that_tools_treat_differently_are_not_signed(tmp_path: Path, names: list[str], message: str) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(IntegrityError, match=message):
        digest(tmp_path)


@pytest.mark.process
def test_signing_imports_no_model_library(artifact: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from mlopt.artifact.sign import sign;"
        "from mlopt.artifact.signing import keys;"
        "from mlopt.artifact.signing.signers import KeySigner;"
        "sign(Path(sys.argv[1]), KeySigner(keys.user_key().private));"
        "print(sorted({'torch', 'onnx', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(artifact)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
