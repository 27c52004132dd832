"""What a search knows of a version: errors that add up, and all its files together."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlopt.compress.quantization.scheme import Mode
from mlopt.compress.quantization.versions import Quality, Version, Written


@pytest.mark.parametrize(("sqnr_db", "noise"), [(None, 0.0), (0.0, 1.0), (20.0, 0.01), (-10.0, 10.0)])
def test_noise_is_the_energy_of_the_error_and_equal_outputs_have_none(sqnr_db: float | None, noise: float) -> None:
    assert Quality(1.0, sqnr_db, None, None).noise == pytest.approx(noise)


def test_two_errors_add_up_as_energies() -> None:
    """Twice the energy is 3 dB less."""
    assert 2 * Quality(1.0, 30.0, None, None).noise == pytest.approx(Quality(1.0, 26.99, None, None).noise, rel=1e-3)


def test_a_version_weighs_its_external_data_too(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"12345")
    (tmp_path / "m.onnx.data").write_bytes(b"123")
    written = Written(frozenset({"a"}), {}, {})
    version = Version(Mode.STATIC, ("a",), tmp_path / "m.onnx", written, Quality(1.0, None, None, None), 0)
    assert [file.name for file in version.files] == ["m.onnx", "m.onnx.data"]
    assert version.size_bytes == 8
