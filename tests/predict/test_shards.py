"""Shards cover every row once, and what fails is cut down to single rows."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from mlopt.predict.shards import Fault, apart, cut, default_size


@given(rows=st.integers(0, 500), size=st.integers(1, 600))
def test_shards_cover_every_row_once_in_order(rows: int, size: int) -> None:
    spans = cut(rows, size)
    assert [row for span in spans for row in span.rows] == list(range(rows))
    assert [span.number for span in spans] == list(range(len(spans)))
    assert all(len(span.rows) == size for span in spans[:-1])


@given(rows=st.integers(1, 10**9), batch=st.integers(1, 512), row_bytes=st.integers(0, 10**10))
def test_the_default_is_whole_batches_that_fit_into_memory(rows: int, batch: int, row_bytes: int) -> None:
    size = default_size(rows, batch, row_bytes)
    assert size % batch == 0
    assert size == batch or (size - batch) * row_bytes <= 256 << 20
    assert size < 4096 + batch


def test_a_data_set_is_cut_into_about_64_shards() -> None:
    assert len(cut(100_000, default_size(100_000, 8, 3136))) == 64
    assert default_size(10, 4, 100) == 4


@given(st.data())
def test_apart_names_the_rows_that_fail_and_loses_none(data: st.DataObject) -> None:
    rows = sorted(data.draw(st.sets(st.integers(0, 60))))
    bad = data.draw(st.sets(st.sampled_from(rows))) if rows else set()
    tried = []

    def attempt(part: Sequence[int]) -> list[int] | Fault:
        tried.append(tuple(part))
        return Fault("bad") if bad & set(part) else list(part)

    found = list(apart(rows, attempt))
    assert [row for part, _ in found for row in part] == rows
    assert {row for part, what in found for row in part if isinstance(what, Fault)} == bad
    assert all(len(part) == 1 for part, what in found if isinstance(what, Fault))
    assert len(set(tried)) == len(tried)


def test_one_bad_row_of_many_costs_two_attempts_a_halving() -> None:
    tried = []

    def attempt(part: Sequence[int]) -> Fault | None:
        tried.append(part)
        return Fault("bad") if 100 in part else None

    list(apart(range(256), attempt))
    assert len(tried) == 2 * 8 + 1
