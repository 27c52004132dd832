"""What a run took, in words: the parts add up, and small ones go together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopt.report.spending import seconds, sentence, shares


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.floats(0.0, 1e5), max_size=12))
def test_the_shares_add_up_and_the_longest_comes_first(took: dict[str, float]) -> None:
    rows = shares(took)
    if sum(took.values()) <= 0:
        assert rows == []
        return
    assert sum(share for _, _, share in rows) == pytest.approx(1.0, abs=1e-6)
    told = [spent for name, spent, _ in rows if name != "the rest"]
    assert told == sorted(told, reverse=True)


def test_it_is_a_sentence() -> None:
    took = {"data": 2.0, "pass quantize": 150.0, "measure": 48.0, "judge": 0.1, "pack": 0.2}
    assert sentence(took) == "took 3 min 20 s: pass quantize 2 min 30 s (75%); measure 48 s (24%); the rest 2.3 s (1%)"
    assert sentence({}) == ""


@pytest.mark.parametrize(("spent", "told"), [(0.04, "0.0 s"), (9.4, "9.4 s"), (59.4, "59 s"), (3665, "1 h 01 min")])
def test_a_time_has_the_digits_that_it_deserves(spent: float, told: str) -> None:
    assert seconds(spent) == told
