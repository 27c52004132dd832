"""The smallest set that is enough, found with few trials."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mlopt.bisect.search import smallest


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.data())
def test_the_smallest_set_is_what_is_needed(count: int, data: st.DataObject) -> None:
    ranked = [f"n{number}" for number in range(count)]
    needed = data.draw(st.sets(st.sampled_from(ranked), min_size=1, max_size=8))
    asked: list[tuple[str, ...]] = []

    def enough(nodes: tuple[str, ...]) -> bool:
        asked.append(nodes)
        return needed <= set(nodes)

    chosen = smallest(ranked, enough)
    assert chosen is not None
    assert needed <= set(chosen)
    if len(chosen) > len(needed):  # only where there are more suspects than are tried one by one
        assert max(ranked.index(name) for name in needed) > 32
    assert len(asked) <= 2 * 6 + 1 + 32


def test_there_may_be_no_such_set_or_nobody_to_suspect() -> None:
    assert smallest(["a", "b", "c"], lambda _nodes: False) is None
    assert smallest([], lambda _nodes: False) is None
