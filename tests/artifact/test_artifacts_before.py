"""What an earlier mlopt wrote is verified, judged, loaded, shown and compared by this one."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

import mlopt
from mlopt.cli.app import run

STORED = Path(__file__).parents[1] / "fixtures" / "artifacts_before"
KEY = STORED / "key.pub"
FEEDS = {"x": np.linspace(-1, 1, 8, dtype=np.float32)[None]}
ANSWERS = {
    "linear": [0.7861863374710083, 1.8160359859466553, -2.6790552139282227, -0.9070886373519897],
    "int8": [-12.061360359191895, -6.292486190795898, -4.149059772491455, -2.45401668548584],
    "external": [-12.331086158752441, -6.3409342765808105, -4.091977119445801, -2.695683717727661],
}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with all of them, unpacked by the command."""
    folder = tmp_path_factory.mktemp("before")
    for name in ANSWERS:
        archive = folder / f"{name}.mlopt"
        archive.write_bytes(gzip.decompress((STORED / f"{name}.mlopt.gz").read_bytes()))
        assert run(["unpack", str(archive), "-o", str(folder / name), "--key", str(KEY)]) == 0
    return folder


@pytest.mark.parametrize("name", ANSWERS)
def test_it_is_verified_and_judged(unpacked: Path, name: str) -> None:
    assert run(["verify", str(unpacked / name), "--key", str(KEY), "--require-gate", "pass"]) == 0
    assert run(["gate", str(unpacked / name)]) == 0


@pytest.mark.parametrize("name", ANSWERS)
def test_it_is_loaded_and_answers_as_it_did(unpacked: Path, name: str) -> None:
    with mlopt.load(unpacked / name, key=KEY) as session:
        (answer,) = session.run(FEEDS).values()
    atol = 0.2 if name == "int8" else 1e-5  # CPUs round INT8 in their own ways
    np.testing.assert_allclose(answer, [ANSWERS[name]], atol=atol, rtol=1e-5)


@pytest.mark.parametrize("name", ANSWERS)
def test_its_report_is_shown(unpacked: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(unpacked / name)]) == 0
    assert "onnx_fp32" in capsys.readouterr().out


def test_two_are_told_apart(unpacked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", str(unpacked / "external"), str(unpacked / "int8")]) == 0
    assert "size_mb" in capsys.readouterr().out


def test_one_is_looked_into(unpacked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", str(unpacked / "int8")]) == 0
    assert "MatMul" in capsys.readouterr().out
