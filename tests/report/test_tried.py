"""How far each deployable came: what may be shipped, in which order they are told, and which nothing valid beats."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tried_example import TRIED, tried, tried_report

from mlopt.report import tried_list
from mlopt.report.tried import count, front, ordered, standing
from mlopt.results.report import Tried

ORDER = ["shipped", "valid", "not judged", "not valid"]


@given(st.lists(TRIED, max_size=30))
def test_shipped_comes_first_then_valid_by_latency_then_the_others(tries: list[Tried]) -> None:
    found = ordered(tried_report(tried=tuple(tries)))
    places = [ORDER.index(standing(one)) for one in found]
    assert places == sorted(places)
    for each in ORDER:
        times = [one.latency_ms for one in found if standing(one) == each]
        known = [one for one in times if one is not None]
        assert times == sorted(known) + [None] * (len(times) - len(known))
    assert sorted(map(id, found)) == sorted(map(id, tries))


@given(st.lists(TRIED, max_size=30))
def test_nothing_valid_is_faster_and_closer_than_what_is_in_front(tries: list[Tried]) -> None:
    rows = tried_list.rows(tried_report(tried=tuple(tries)))

    def figures(one: Tried) -> tuple[float, float] | None:
        return (one.latency_ms, one.fidelity.cosine) if one.latency_ms is not None and one.fidelity else None

    best = [found for row in front(rows) if (found := figures(row.one))]
    valid = [found for row in rows if row.standing in ("shipped", "valid") and (found := figures(row.one))]
    assert best == sorted(set(best))
    assert set(best) <= set(valid)
    for ms, cosine in valid:
        assert any(quick <= ms and near >= cosine for quick, near in best)
        assert not any(ms < quick and cosine >= near for quick, near in best)


@pytest.mark.parametrize(
    ("why_not", "valid", "expected"),
    [
        (None, None, "shipped"), (None, True, "shipped"), ("x", True, "valid"), ("x", False, "not valid"),
        ("x", None, "not judged"),
    ],
)  # fmt: skip
def test_what_was_not_judged_is_not_called_valid(why_not: str | None, valid: bool | None, expected: str) -> None:
    one = tried()[0].model_copy(update={"why_not": why_not, "valid": valid})
    assert standing(one) == expected
    told = "1 deployable, of which " + ("1 may be shipped" if expected in ("shipped", "valid") else "0 may be shipped")
    assert count(tried_report(tried=(one,))) == told
