"""Arrays of several sizes, kept without a pickle."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from mlopt.core.errors import DataError
from mlopt.data.ragged import dtype_of, is_ragged, joined, load, ragged, save


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(["float32", "float16", "int64", "bool", "U5"]).flatmap(
        lambda dtype: st.lists(arrays(dtype, array_shapes(min_dims=0, max_dims=3, min_side=0)), min_size=1, max_size=5)
    )
)
def test_what_is_stored_is_what_was_given(parts: list[np.ndarray]) -> None:  # type: ignore[type-arg]
    with TemporaryDirectory() as folder:
        file = Path(folder) / "0.npy"
        save(ragged(parts), file)
        got = load(file)
        assert is_ragged(got)
        assert dtype_of(got) == parts[0].dtype
        for one, other in zip(parts, got, strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.shape == other.shape


def test_one_shape_is_one_array(tmp_path: Path) -> None:
    same = joined([np.zeros((2, 3)), np.ones((2, 3))])
    assert not is_ragged(same)
    save(same, tmp_path / "0.npy")
    np.testing.assert_array_equal(load(tmp_path / "0.npy"), same)


def test_a_pickle_is_never_read(tmp_path: Path) -> None:
    np.save(tmp_path / "0.npy", ragged([np.zeros(1), np.zeros(2)]), allow_pickle=True)
    with pytest.raises(DataError, match="this is no array that mlopt stored"):
        load(tmp_path / "0.npy")
