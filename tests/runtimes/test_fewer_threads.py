"""Which fewer threads are tried: some whenever there are several, each once, and never none."""

from __future__ import annotations

import pytest

from mlopt.runtimes.fewer_threads import fewer_threads


@pytest.mark.parametrize("threads", range(1, 40))
def test_each_is_fewer_and_one_and_half_are_among_them(threads: int) -> None:
    found = fewer_threads(threads)
    assert len(set(found)) == len(found) <= 3
    assert all(0 < each < threads for each in found)
    if threads > 1:
        assert {1, threads // 2} <= set(found)
