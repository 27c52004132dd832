"""The size of a file after compression is that of a file that was compressed."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

from mlopt.compress.prune.compressed import CODEC, compressed_bytes


@pytest.mark.parametrize("count", [0, 1, (1 << 18) + 7])
def test_it_is_what_zlib_makes_of_the_whole(tmp_path: Path, count: int) -> None:
    values = np.random.default_rng(0).normal(size=count).astype(np.float32).tobytes()
    (tmp_path / "w").write_bytes(values)
    assert compressed_bytes(tmp_path / "w") == len(zlib.compress(values, 6))
    assert CODEC == "DEFLATE (zlib), level 6"


def test_zeros_make_it_smaller(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=10_000).astype(np.float32)
    (tmp_path / "dense").write_bytes(values.tobytes())
    values[np.abs(values) < 1.28] = 0  # four in five
    (tmp_path / "sparse").write_bytes(values.tobytes())
    assert compressed_bytes(tmp_path / "sparse") < 0.35 * compressed_bytes(tmp_path / "dense")
