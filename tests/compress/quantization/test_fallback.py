"""As many nodes as are accepted together: nodes at fault, pairs at fault, and a bound on what it costs."""

from __future__ import annotations

from math import ceil, log2

from hypothesis import given
from hypothesis import strategies as st

from mlopt.compress.quantization.fallback import largest

NUMBERS = st.integers(0, 60)
PLENTY = 1000


@given(st.lists(NUMBERS, unique=True), st.sets(NUMBERS))
def test_exactly_the_nodes_at_fault_are_refused(numbers: list[int], bad: set[int]) -> None:
    def attempt(some: tuple[str, ...]) -> str | None:
        return "fault" if bad.intersection(map(int, some)) else None

    fit = largest(list(map(str, numbers)), attempt, attempts=PLENTY)
    assert fit.refused == {str(number): "fault" for number in numbers if number in bad}
    assert fit.taken == tuple(str(number) for number in numbers if number not in bad)


@given(st.lists(NUMBERS, unique=True, min_size=1), st.sets(st.frozensets(NUMBERS, min_size=1, max_size=3), max_size=8))
def test_what_fails_only_together_is_found(numbers: list[int], clashes: set[frozenset[int]]) -> None:
    def attempt(some: tuple[str, ...]) -> str | None:
        return next((f"{sorted(clash)}" for clash in clashes if clash <= set(map(int, some))), None)

    fit = largest(list(map(str, numbers)), attempt, attempts=PLENTY)
    assert attempt(fit.taken) is None
    assert sorted([*fit.taken, *fit.refused]) == sorted(map(str, numbers))
    assert all(attempt((*fit.taken, name)) is not None for name in fit.refused)  # nothing more fits


@given(st.integers(1, 300), st.integers(0, 300), st.integers(1, 40))
def test_it_tries_no_more_than_it_may_and_what_it_found_by_then_stands(size: int, bad: int, attempts: int) -> None:
    tried: list[tuple[str, ...]] = []

    def attempt(some: tuple[str, ...]) -> str | None:
        tried.append(some)
        return "fault" if str(bad) in some else None

    names = list(map(str, range(size)))
    fit = largest(names, attempt, attempts=attempts)
    assert len(tried) <= min(attempts, 2 * ceil(log2(size)) + 1)
    assert sorted([*fit.taken, *fit.refused]) == sorted(names)
    assert str(bad) not in fit.taken
    assert not fit.taken or fit.taken in tried
    undecided = [reason for name, reason in fit.refused.items() if name != str(bad)]
    assert all(reason == "in a group that failed: fault" for reason in undecided)
