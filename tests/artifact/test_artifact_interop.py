"""Other tools accept what mlopt signs, and mlopt accepts what they sign."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest
from authority import SIGNER, Authority, Certified, write_pem
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mlopt.artifact import layout
from mlopt.artifact.sign import sign
from mlopt.artifact.signing import bundle, keys
from mlopt.artifact.signing.signers import CertificateSigner, KeySigner, Signer
from mlopt.artifact.signing.trust import CertificateTrust, KeyTrust
from mlopt.artifact.verify import verify
from mlopt.core.errors import IntegrityError

CURVES = pytest.mark.parametrize("curve", keys.CURVES.values(), ids=list(keys.CURVES))
HASHES = {"secp256r1": "-sha256", "secp384r1": "-sha384", "secp521r1": "-sha512"}


@pytest.fixture
def artifact(tmp_path: Path, fill: Any) -> Path:
    layout.write(tmp_path / "digits", fill(nested=True))
    return tmp_path / "digits"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.make()


def certificate_signer(authority: Authority, certified: Certified) -> CertificateSigner:
    assert isinstance(certified.key, ec.EllipticCurvePrivateKey)
    return CertificateSigner(certified.key, (certified.certificate, authority.intermediate.certificate))


@pytest.mark.process
@CURVES
def test_openssl_verifies_the_signature(artifact: Path, tmp_path: Path, curve: ec.EllipticCurve) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    key = ec.generate_private_key(curve)
    (tmp_path / "a.pub").write_bytes(keys.public_pem(key.public_key()))
    sign(artifact, KeySigner(key))
    envelope = bundle.unpack((artifact / "model.sig").read_bytes(), "model.sig")
    (tmp_path / "pae").write_bytes(bundle.pae(envelope.payload))
    (tmp_path / "der").write_bytes(envelope.signature)
    command = ["openssl", "dgst", HASHES[curve.name], "-verify", "a.pub", "-signature", "der", "pae"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "Verified OK"), done.stderr


@pytest.mark.process
def test_openssl_accepts_the_certificates_of_the_tests(authority: Authority, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    root = write_pem(tmp_path / "root.pem", authority.root)
    between = write_pem(tmp_path / "between.pem", authority.intermediate)
    leaf = write_pem(tmp_path / "leaf.pem", authority.signer())
    command = ["openssl", "verify", "-x509_strict", "-CAfile", root, "-untrusted", between, leaf]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["key", "certificate"])
def test_the_bundle_fits_the_published_models(authority: Authority, kind: str) -> None:
    models = pytest.importorskip("sigstore_models.bundle.v1", reason="sigstore-models is not installed")
    release = authority.signer()
    assert isinstance(release.key, ec.EllipticCurvePrivateKey)
    signer: Signer = KeySigner(release.key) if kind == "key" else certificate_signer(authority, release)
    read = models.Bundle.from_json(signer.sign(b"{}"))
    assert read.dsse_envelope.payload == b"{}"
    found = read.verification_material
    assert (found.public_key is None, found.x509_certificate_chain is None) == (kind != "key", kind == "key")


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The stock tool; in an environment of its own if it is not installed here."""
    beside = Path(sys.executable).with_name("model_signing")
    if beside.exists() and importlib.util.find_spec("OpenSSL"):  # which it needs and does not say so
        return str(beside)
    if given := os.environ.get("MLOPT_TEST_MODEL_SIGNING"):
        return given
    folder = tmp_path_factory.mktemp("model_signing")
    venv.create(folder, with_pip=True)
    install = [str(folder / "bin" / "pip"), "install", "-q", "model-signing==1.1.1", "pyopenssl"]
    done = subprocess.run(install, capture_output=True, text=True, timeout=240, check=False)
    if done.returncode != 0:
        pytest.skip(f"pip cannot install model-signing: {done.stderr.strip().splitlines()[-1:]}")
    return str(folder / "bin" / "model_signing")


def run(stock: str, verb: str, kind: str, artifact: Path, *options: object) -> subprocess.CompletedProcess[str]:
    command = [stock, verb, kind, artifact, "--signature", artifact / "model.sig", *options]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)


@pytest.mark.process
@pytest.mark.slow
@CURVES
def test_the_stock_tool_accepts_a_key(artifact: Path, tmp_path: Path, stock: str, curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    (tmp_path / "a.pub").write_bytes(keys.public_pem(key.public_key()))
    sign(artifact, KeySigner(key))
    (artifact / "claims.jsonl").write_text("{}\n")
    done = run(stock, "verify", "key", artifact, "--public_key", tmp_path / "a.pub")
    assert (done.returncode, done.stdout.strip()) == (0, "Verification succeeded"), done.stderr
    (artifact / "model.onnx").write_bytes(b"changed")
    assert run(stock, "verify", "key", artifact, "--public_key", tmp_path / "a.pub").returncode != 0


@pytest.mark.process
@pytest.mark.slow
@CURVES
def test_a_key_of_the_stock_tool_is_accepted(
    artifact: Path, tmp_path: Path, stock: str, curve: ec.EllipticCurve
) -> None:
    public = keys.create_key(tmp_path / "a.key", curve=f"P-{curve.key_size}")
    done = run(stock, "sign", "key", artifact, "--private_key", tmp_path / "a.key")
    assert done.returncode == 0, done.stderr
    assert verify(artifact, KeyTrust.of(public)).signer == keys.fingerprint(keys.load_public(public))


@pytest.mark.process
@pytest.mark.slow
@CURVES
def test_the_stock_tool_accepts_a_certificate(
    artifact: Path, tmp_path: Path, authority: Authority, stock: str, curve: ec.EllipticCurve
) -> None:
    root = write_pem(tmp_path / "root.pem", authority.root)
    sign(artifact, certificate_signer(authority, authority.signer(curve)))
    done = run(stock, "verify", "certificate", artifact, "--certificate_chain", root)
    assert (done.returncode, done.stdout.strip()) == (0, "Verification succeeded"), done.stderr
    (artifact / "model.onnx").write_bytes(b"changed")
    assert run(stock, "verify", "certificate", artifact, "--certificate_chain", root).returncode != 0


@pytest.mark.process
@pytest.mark.slow
@CURVES
def test_a_certificate_of_the_stock_tool_is_accepted(
    artifact: Path, tmp_path: Path, authority: Authority, stock: str, curve: ec.EllipticCurve
) -> None:
    release = authority.signer(curve)
    (tmp_path / "a.key").write_bytes(release.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    leaf = write_pem(tmp_path / "leaf.pem", release)
    between = write_pem(tmp_path / "between.pem", authority.intermediate)
    options = ("--private_key", tmp_path / "a.key", "--signing_certificate", leaf, "--certificate_chain", between)
    done = run(stock, "sign", "certificate", artifact, *options)
    assert done.returncode == 0, done.stderr
    trust = CertificateTrust.of(write_pem(tmp_path / "root.pem", authority.root), SIGNER)
    assert verify(artifact, trust).signer == SIGNER
    (artifact / "model.onnx").write_bytes(b"changed")
    with pytest.raises(IntegrityError, match="the file was changed after it was signed"):
        verify(artifact, trust)
