"""A checkpoint is whole or as it was before, and holds nothing that could run."""

from __future__ import annotations

import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from mlopt.compress.train import checkpoint
from mlopt.core.errors import OutputError


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "one.ckpt"
    checkpoint.write(path, {"weights": {"a": torch.ones(3)}, "at": {"done": 3, "best": None}, "drawn": {}})
    found = checkpoint.read(path)
    assert found is not None
    assert found["at"] == {"done": 3, "best": None}
    assert torch.equal(found["weights"]["a"], torch.ones(3))


def test_there_may_be_none(tmp_path: Path) -> None:
    assert checkpoint.read(tmp_path / "none.ckpt") is None


class Runs:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (eval, ("1/0",))


def test_what_could_run_code_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "evil.ckpt"
    torch.save({"at": Runs()}, path)
    assert checkpoint.read(path) is None
    path.write_bytes(pickle.dumps(Runs()))
    assert checkpoint.read(path) is None


def test_where_nothing_can_be_written_that_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="could not be written") as caught:
        checkpoint.write(tmp_path / "file" / "one.ckpt", {})
    assert "MLOPT_CACHE" in str(caught.value.problems[0].fix)


def test_generators_come_back(tmp_path: Path) -> None:
    checkpoint.write(tmp_path / "one.ckpt", {"drawn": checkpoint.generators()})
    drawn = torch.rand(2).tolist(), np.random.rand(2).tolist(), np.random.randn(), random.random(), random.gauss(0, 1)
    state = checkpoint.read(tmp_path / "one.ckpt")
    assert state is not None
    checkpoint.restore_generators(state["drawn"])
    again = torch.rand(2).tolist(), np.random.rand(2).tolist(), np.random.randn(), random.random(), random.gauss(0, 1)
    assert again == drawn
