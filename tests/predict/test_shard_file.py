"""The file of a shard: outputs come back by their names and in their shapes, and equal rows are equal bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopt.data.ragged import ragged
from mlopt.predict import shard_file


def test_names_are_the_outputs_own_unless_they_are_taken() -> None:
    names = shard_file.array_names(["logits", "rows", "a/b", "x", "x.shapes", "odd\n", ""])
    assert names == {
        "logits": "logits", "rows": "output_1", "a/b": "a/b", "x": "x", "x.shapes": "output_4", "odd\n": "output_5",
        "": "output_6",
    }  # fmt: skip


@given(st.lists(st.sampled_from(["rows", "output_0", "output_1", "output_2", "x", "x.shapes"]), unique=True))
def test_no_two_outputs_share_an_array(outputs: list[str]) -> None:
    names = list(shard_file.array_names(outputs).values())
    assert len({*names, "rows"}) == len(names) + 1


def test_arrays_ragged_ones_and_text_come_back(tmp_path: Path) -> None:
    outputs = {
        "y": np.arange(6, dtype=np.float32).reshape(3, 2),
        "boxes": ragged([np.zeros((0, 4), np.float32), np.ones((2, 4), np.float32), np.float32(3).reshape(())]),
        "text": np.array(["a", "bb", "Straße"]),
        "a/b": np.array([1, 2, 3], np.int8),
    }
    file = tmp_path / "0.npz"
    shard_file.write(file, [4, 6, 7], outputs)
    rows, found = shard_file.read(file, {name: name for name in outputs})
    assert rows.tolist() == [4, 6, 7]
    for name in ("y", "text", "a/b"):
        assert (found[name].dtype, found[name].tolist()) == (outputs[name].dtype, outputs[name].tolist())
    assert [part.shape for part in found["boxes"]] == [(0, 4), (2, 4), ()]
    assert np.load(file)["rows"].tolist() == [4, 6, 7]
    once = file.read_bytes()
    shard_file.write(file, [4, 6, 7], outputs)
    assert file.read_bytes() == once
    assert [path.name for path in tmp_path.iterdir()] == ["0.npz"]


def test_a_shard_without_rows_is_a_file_too(tmp_path: Path) -> None:
    shard_file.write(tmp_path / "0.npz", [], {})
    rows, found = shard_file.read(tmp_path / "0.npz", {})
    assert (len(rows), found) == (0, {})


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        shard_file.write(tmp_path / "0.npz", [1], {"y": ragged([np.array([{}, {}])])})
    assert list(tmp_path.iterdir()) == []
