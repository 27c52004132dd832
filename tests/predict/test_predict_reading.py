"""Predictions are read back in order, or it is said why not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import predicted
import pytest

import mlopt.predict as predictions
from mlopt.core.errors import IntegrityError, UserError
from mlopt.predict.run import PredictRequest, predict


@pytest.fixture
def out(tmp_path: Path) -> Path:
    np.savez(tmp_path / "rows.npz", **predicted.rows(12, poisoned=(0, 1, 2, 3, 9)))
    artifact = predicted.artifact(tmp_path / "words")
    predict(PredictRequest(artifact, tmp_path / "rows.npz", tmp_path / "out", crew=predicted.InlineCrew))
    return tmp_path / "out"


def test_shards_come_in_order_and_one_of_which_all_rows_failed_is_passed_over(out: Path) -> None:
    parts = list(predictions.read(out))
    assert [part.rows.tolist() for part in parts] == [[4, 5, 6, 7], [8, 10, 11]]
    assert parts[0].outputs["root"].tolist() == np.sqrt(np.arange(4, 8, dtype=np.float32)).tolist()
    assert list(predictions.errors(out)) == [0, 1, 2, 3, 9]
    assert predictions.summary_of(out)["failed"] == 5


def test_a_missing_shard_is_told(out: Path) -> None:
    (out / "shards/00001.npz").unlink()
    with pytest.raises(IntegrityError, match="a shard is not what was written"):
        list(predictions.read(out))


def test_a_folder_that_is_not_finished_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished predictions here"):
        next(predictions.read(tmp_path))
