"""A signed artifact to make claims about: made once, since its pages take a second, and copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from packed_artifact import pack

from mlopt.artifact.signing.signers import KeySigner


@pytest.fixture(scope="session")
def signer() -> KeySigner:
    return KeySigner(ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory, signer: KeySigner) -> Path:
    return pack(tmp_path_factory.mktemp("packed"), signer).path


@pytest.fixture
def artifact(tmp_path: Path, packed: Path) -> Path:
    return shutil.copytree(packed, tmp_path / "digits")
