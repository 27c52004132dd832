"""``mlopt attest``: claims made again by their signer, or bare for another."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from packed_artifact import pack

from mlopt import claims
from mlopt.artifact.claims import PREDICATES
from mlopt.artifact.signing.signers import KeySigner
from mlopt.artifact.signing.trust import KeyTrust
from mlopt.artifact.verify import verify
from mlopt.cli.app import run


@pytest.fixture(scope="module")
def signer() -> KeySigner:
    return KeySigner(ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory, signer: KeySigner) -> Path:
    """A signed artifact with its claims: made once, since its pages take a second."""
    return pack(tmp_path_factory.mktemp("packed"), signer).path


@pytest.fixture
def artifact(tmp_path: Path, packed: Path) -> Path:
    return shutil.copytree(packed, tmp_path / "digits")


def saved(signer: KeySigner, path: Path) -> str:
    pem = signer.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as stream:
        stream.write(pem)
    return str(path)


@pytest.fixture
def key(tmp_path: Path, signer: KeySigner) -> str:
    return saved(signer, tmp_path / "ci.key")


def claimed(artifact: Path, signer: KeySigner) -> set[str]:
    return {claim.predicate_type for claim in verify(artifact, KeyTrust(signer.private.public_key())).claims}


def test_claims_are_made_again(artifact: Path, signer: KeySigner, key: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = artifact / "claims.jsonl"
    path.unlink()
    assert claimed(artifact, signer) == set()
    assert run(["attest", str(artifact), "--key", key]) == 0
    assert capsys.readouterr().out.replace("\n", "") == f"claims: {path}"
    assert claimed(artifact, signer) == set(PREDICATES.values())
    assert run(["attest", str(artifact), "--key", key, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"files": [str(path)]}
    assert len(path.read_bytes().splitlines()) == 3  # in place of those before


def test_what_others_claim_stays(artifact: Path, signer: KeySigner, key: str) -> None:
    other = KeySigner(ec.generate_private_key(ec.SECP256R1()))
    claims.attest(artifact, other)
    assert run(["attest", str(artifact), "--key", key]) == 0
    assert len((artifact / "claims.jsonl").read_bytes().splitlines()) == 6


def test_only_what_one_has_signed_oneself_is_attested(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stranger = saved(KeySigner(ec.generate_private_key(ec.SECP256R1())), tmp_path / "stranger.key")
    before = (artifact / "claims.jsonl").read_bytes()
    assert run(["attest", str(artifact), "--key", stranger]) == 4
    assert "signed by an unknown key" in capsys.readouterr().err
    assert (artifact / "claims.jsonl").read_bytes() == before


def test_a_changed_artifact_is_not_attested(artifact: Path, key: str, capsys: pytest.CaptureFixture[str]) -> None:
    (artifact / "model.onnx").write_bytes(b"other")
    assert run(["attest", str(artifact), "--key", key]) == 4
    assert "the file was changed after it was signed" in capsys.readouterr().err


def test_malformed_claims_say_what_to_do(artifact: Path, key: str, capsys: pytest.CaptureFixture[str]) -> None:
    (artifact / "claims.jsonl").write_bytes(b"{}\n")
    assert run(["attest", str(artifact), "--key", key]) == 4
    assert "the signature file is malformed" in capsys.readouterr().err


def test_bare_statements_are_for_other_signers(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in artifact.iterdir()}
    assert run(["attest", str(artifact), "--unsigned", "-o", str(tmp_path / "out" / "bare"), "--json"]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert [Path(file).name for file in files] == ["provenance.json", "test-result.json", "benchmark.json"]
    for file, predicate_type in zip(files, PREDICATES.values(), strict=True):
        assert json.loads(Path(file).read_bytes())["predicateType"] == predicate_type
    assert {path.name: path.read_bytes() for path in artifact.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--unsigned"], "--unsigned and --output go together"),
        (["-o", "out"], "--unsigned and --output go together"),
        (["--root", "roots.pem"], "a key needs no --root, --identity or --issuer"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    artifact: Path, key: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with_key = ["--key", key] if "--root" in arguments else []
    assert run(["attest", str(artifact), *with_key, *arguments]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_place_that_cannot_be_written_is_named(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").touch()
    assert run(["attest", str(artifact), "--unsigned", "-o", str(tmp_path / "out")]) == 2
    assert "the statements could not be written" in capsys.readouterr().err


def test_signing_again_leaves_no_stale_claims(artifact: Path, signer: KeySigner, key: str) -> None:
    manifest = artifact / "mlopt.json"
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    assert run(["sign", str(artifact), "--key", key]) == 0
    assert claimed(artifact, signer) == set(PREDICATES.values())
    assert len((artifact / "claims.jsonl").read_bytes().splitlines()) == 3


def test_signing_what_has_no_recipe_claims_nothing(
    artifact: Path, signer: KeySigner, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = json.loads((artifact / "mlopt.json").read_bytes())
    del manifest["files"]["recipe.lock.yaml"]
    (artifact / "mlopt.json").write_text(json.dumps(manifest))
    (artifact / "recipe.lock.yaml").unlink()
    assert run(["sign", str(artifact), "--key", key]) == 0
    assert not (artifact / "claims.jsonl").exists()
    assert claimed(artifact, signer) == set()
    assert run(["attest", str(artifact), "--key", key]) == 2
    assert "the artifact has no recipe" in capsys.readouterr().err
