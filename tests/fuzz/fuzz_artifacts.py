"""Targets: what stands in an artifact, and what it travels and is trusted with. Archives, certificates, keys.

What lies under a signature is signed anew for each input, with a key that the verifier trusts: that somebody signed it
is no reason to believe that the bytes are sound.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from fuzz_base import ROOT, Run, Target, golden, replacing, reports
from fuzz_mutations import mutate_bytes, mutate_json, mutate_json_lines, mutate_pem, mutate_yaml, mutate_zip

from mlopt import claims
from mlopt.artifact import archive, files, layout
from mlopt.artifact import claims as claims_file
from mlopt.artifact.signing import bundle, certificates, keys
from mlopt.artifact.signing.signers import KeySigner
from mlopt.artifact.signing.trust import CertificateTrust, KeyTrust
from mlopt.artifact.verify import Verified, verify
from mlopt.formats.model import ONNX, TensorSpec, digest_file
from mlopt.passes.table import table
from mlopt.recipe.load import load
from mlopt.recipe.lock import lock
from mlopt.recipe.origin import Origin

# --- the artifact: its files are replaced, and what is signed is signed again


@cache
def _signer() -> KeySigner:
    return KeySigner(ec.derive_private_key(7, ec.SECP256R1()))


def _trust() -> KeyTrust:
    return KeyTrust(_signer().private.public_key())


def _artifact(folder: Path) -> None:
    """Write a small signed artifact with one claim: the same one each time."""
    for name, data in _files().items():
        (folder / "artifact").mkdir(exist_ok=True)
        (folder / "artifact" / name).write_bytes(data)


@cache
def _files() -> dict[str, bytes]:
    def fill(new: Path) -> layout.Content:
        (new / "model.onnx").write_bytes(b"weights")
        (new / "report.json").write_bytes(golden("report/report.json"))
        (new / "recipe.lock.yaml").write_bytes(_locks()[0])
        specs = (TensorSpec("image", "float32", ("batch", 1, 28, 28)),)
        model = layout.ModelEntry(
            file="model.onnx", kind=ONNX, digest=digest_file(new / "model.onnx"), inputs=specs, outputs=specs
        )
        roles = {
            "model.onnx": layout.Role.MODEL, "report.json": layout.Role.REPORT, "recipe.lock.yaml": layout.Role.RECIPE,
        }  # fmt: skip
        return layout.Content(
            name="digits", model=model, runtime="onnxruntime", options={"threads": 2}, verdict="fail", files=roles,
            ungated=True,
        )  # fmt: skip

    with tempfile.TemporaryDirectory() as folder:
        artifact = Path(folder) / "artifact"
        layout.write(artifact, fill, seal=_seal)
        (artifact / "claims.jsonl").write_bytes(_signer().sign(_claim(artifact)))
        return {name: (artifact / name).read_bytes() for name in files.list_files(artifact)}


def _digests(artifact: Path) -> dict[str, str]:
    return files.hash_files(artifact, sorted(set(files.list_files(artifact)) - layout.UNSIGNED))


def _statement(artifact: Path) -> bytes:
    return bundle.statement("digits", _digests(artifact), tuple(layout.UNSIGNED))


def _claim(artifact: Path) -> bytes:
    digests = _digests(artifact)
    return claims_file.statement(
        "digits", bundle.root_digest(digests), digests, claims_file.PREDICATES["benchmark"], {"n": 1}
    )


def _seal(artifact: Path) -> None:
    (artifact / "model.sig").write_bytes(_signer().sign(_statement(artifact)))


def _verified(name: str, *, seal: bool = False, sign: bool = False) -> Run:
    """Return a run that puts the input in the place of the file ``name``, and verifies the artifact."""

    def run(data: bytes, folder: Path) -> object:
        artifact = folder / "artifact"
        (artifact / name).write_bytes(_signer().sign(data) if sign else data)
        if seal:
            (artifact / "claims.jsonl").unlink(missing_ok=True)
            _seal(artifact)
        return verify(artifact, _trust())

    return run


def _made(make: Callable[[Path], bytes]) -> Callable[[], list[bytes]]:
    """Return seeds: what ``make`` gives for the artifact."""

    @cache
    def seeds() -> list[bytes]:
        with tempfile.TemporaryDirectory() as folder:
            _artifact(Path(folder))
            return [make(Path(folder) / "artifact")]

    return seeds


def _stored(name: str) -> Callable[[], list[bytes]]:
    return _made(lambda artifact: (artifact / name).read_bytes())


def _locks() -> list[bytes]:
    loaded = load(ROOT / "recipes" / "mnist_cnn.yaml", passes=table(), overrides=["seed=3"])
    origin = Origin(
        mlopt="0.2.0", recipe=loaded.text_digest, overrides=("seed=3",), started="2026-11-23T14:20:11Z",
        sources={"model": "1" * 64, "data.evaluation": "2" * 64, "model.source": "3" * 64},
        packages={"onnx": "1.23.2"}, records={"onnx": "4" * 64},
    )  # fmt: skip
    return [lock(loaded.recipe, origin).encode()]


def _stated(name: str) -> Run:
    """Return a run that puts the input in the place of the file ``name``, and states what there is to claim."""

    def run(data: bytes, folder: Path) -> object:
        artifact = folder / "artifact"
        (artifact / name).write_bytes(data)
        return claims.statements(artifact)

    return run


@cache
def _archives() -> list[bytes]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _artifact(folder)
        archive.pack(verify(folder / "artifact", _trust()), folder / "packed")
        return [(folder / "packed").read_bytes()]


def _unpack(data: bytes, folder: Path) -> None:
    """Unpack an archive; whatever happens, nothing but the result and its lock file is left."""
    (folder / "packed").write_bytes(data)
    try:
        archive.unpack(folder / "packed", folder / "out", _verified_copy)
        shutil.rmtree(folder / "out")
    finally:
        assert {path.name for path in folder.iterdir()} <= {"packed"}


def _verified_copy(artifact: Path) -> Verified:
    return verify(artifact, _trust())


# --- keys


def _key_files() -> list[bytes]:
    private = _signer().private
    return [
        keys.public_pem(private.public_key()),
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
    ]


def _private_file(folder: Path) -> None:
    (folder / "signer.key").touch(0o600)


def _read_key(file: Path) -> object:
    return (keys.load_private if b"PRIVATE" in file.read_bytes() else keys.load_public)(file)


# --- certificates

_NOW = datetime(2027, 1, 1, tzinfo=UTC)


@cache
def _certificates() -> tuple[x509.Certificate, ...]:
    """A signer's certificate, that of its issuer, and that of the root."""
    private = [ec.derive_private_key(number, ec.SECP256R1()) for number in (7, 8, 9)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("signer", "issuer", "root")]
    made = []
    for index, name in enumerate(names):
        issuer = min(index + 1, 2)
        usage = {key: key == ("key_cert_sign" if index else "digital_signature") for key in _USAGES}
        builder = (
            x509.CertificateBuilder(issuer_name=names[issuer], subject_name=name, serial_number=index + 1)
            .public_key(private[index].public_key())
            .not_valid_before(_NOW - timedelta(days=1))
            .not_valid_after(_NOW + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=index > 0, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(**usage), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(private[index].public_key()), critical=False)
        )
        if index < 2:
            key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(private[issuer].public_key())
            builder = builder.add_extension(key_id, critical=False)
        if index == 0:
            names_of = x509.SubjectAlternativeName([x509.RFC822Name("ann@example.org")])
            builder = builder.add_extension(names_of, critical=False)
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        made.append(builder.sign(private[issuer], hashes.SHA256()))
    return tuple(made)


_USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


def _open_certified(data: bytes, _: Path) -> object:
    """Take the bytes for the certificate of the signer (DER) in a bundle; its issuer's follows."""
    signed = bundle.unpack(_signer().sign(b"{}"), "here")
    chain = (data, *certificates.encode(_certificates()[1:2]))
    packed = bundle.pack(bundle.Envelope(signed.payload, signed.signature, certificates=chain))
    return CertificateTrust(_certificates()[2:], "ann@example.org", _NOW).open(packed, "here")


def _read_certificates(file: Path) -> None:
    certificates.load_chain(file)
    certificates.load_roots(file)


ARTIFACTS = (
    Target("signature", _verified("model.sig"), _stored("model.sig"), mutate_json, _artifact),
    Target("statement", _verified("model.sig", sign=True), _made(_statement), mutate_json, _artifact),
    Target("manifest", _verified("mlopt.json", seal=True), _stored("mlopt.json"), mutate_json, _artifact),
    Target("signed_report", _verified("report.json", seal=True), reports, mutate_json, _artifact),
    Target("claims", _verified("claims.jsonl"), _stored("claims.jsonl"), mutate_json_lines, _artifact),
    Target("claim", _verified("claims.jsonl", sign=True), _made(_claim), mutate_json, _artifact),
    Target("attest_recipe", _stated("recipe.lock.yaml"), _locks, mutate_yaml, _artifact),
    Target("attest_report", _stated("report.json"), reports, mutate_json, _artifact),
    Target("archive", _unpack, _archives, mutate_zip),
    Target(
        "certificate", _open_certified, lambda: [*certificates.encode(_certificates()[:1])], mutate_bytes, examples=300
    ),
    Target(
        "certificates", replacing("chain.pem", _read_certificates),
        lambda: [b"".join(one.public_bytes(Encoding.PEM) for one in _certificates()[1:])], mutate_pem,
    ),
    Target("key", replacing("signer.key", _read_key), _key_files, mutate_pem, _private_file),
)  # fmt: skip
