"""Bytes of a HyperLogLog sketch: all that the library writes passes, nothing else reaches it."""

from __future__ import annotations

import datasketches
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopt.core.errors import DataError
from mlopt.sketches.distinct import LG_K, MAX_BYTES, RELATIVE_ERROR, check


def sketch(count: int) -> bytes:
    made = datasketches.hll_sketch(LG_K, datasketches.HLL_8)
    for value in range(count):
        made.update(value)
    return bytes(made.serialize_compact())


@pytest.mark.parametrize("count", [0, 1, 8, 9, 20, 90, 100, 5000])
def test_what_the_library_writes_passes_and_counts(count: int) -> None:
    data = check(sketch(count))
    assert len(data) <= MAX_BYTES
    found = datasketches.hll_sketch.deserialize(data).get_estimate()
    assert found == pytest.approx(count, rel=5 * RELATIVE_ERROR, abs=0.01)


@pytest.mark.parametrize("count", [0, 8, 50, 5000])
def test_what_was_cut_or_changed_is_refused(count: int) -> None:
    data = sketch(count)
    for other in (data[:-1], data + b"\0\0\0\0", b""):
        with pytest.raises(DataError, match="no sketch that mlopt wrote"):
            check(other)
    for at, value in ((0, 99), (1, 9), (2, 15), (3, 21), (4, 30), (5, 0), (7, 3)):
        with pytest.raises(DataError, match="no sketch that mlopt wrote"):
            check(data[:at] + bytes([value]) + data[at + 1 :])


@given(st.binary(max_size=60), st.sampled_from([0, 5, 30]), st.integers(0, 40), st.integers(0, 255))
def test_any_bytes_are_refused_or_safe(noise: bytes, count: int, at: int, value: int) -> None:
    honest = sketch(count)
    for data in (noise, honest[:8] + noise, honest[:at] + bytes([value]) + honest[at + 1 :]):
        try:
            check(data)
        except DataError:
            continue
        union = datasketches.hll_union(LG_K)
        union.update(datasketches.hll_sketch.deserialize(data))
        assert union.get_estimate() >= 0
