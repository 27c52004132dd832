"""Documents of several servers become one: counts exactly, numbers within the error of a sketch, in any order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sketched import document, of, rows

from mlopt.core.errors import DataError
from mlopt.formats.model import TensorSpec
from mlopt.sketches import Sketcher, Sketches, merge, plan_of, read, write
from mlopt.sketches.kll import RANK_SIGMA


def counts(made: Sketches) -> list[object]:
    return [
        (one.rows, one.empty, one.classes, [(part.nan, part.inf, part.minus_inf, part.below, part.above, part.numbers.n)
                                            for part in one.parts])
        for one in made.tensors
    ]  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 3000), min_size=2, max_size=4), st.randoms())
def test_the_order_makes_no_difference_beyond_the_error_of_a_sketch(sizes: list[int], order: object) -> None:
    like = document(200, seed=99)
    parts = [document(size, seed, like=like) for seed, size in enumerate(sizes)]
    one = merge(parts)
    order.shuffle(parts)  # type: ignore[attr-defined]
    other = merge(parts)
    assert counts(one) == counts(other)
    assert (one.rows, one.offered) == (sum(sizes), sum(sizes))
    every = np.concatenate([rows(size, seed)[0]["x"] for seed, size in enumerate(sizes)])
    at = np.array([-1.0, 0.0, 0.7])
    truth = (every[:, 0, None] <= at).mean(axis=0)
    for made in (one, other):
        assert np.abs(made.tensors[0].parts[0].numbers.share(at) - truth).max() < 6 * RANK_SIGMA


def test_small_ones_come_to_the_same_as_all_rows_at_once() -> None:
    (a, ya), (b, yb) = rows(40, 1), rows(50, 2)
    at_once = of({"x": np.concatenate([a["x"], b["x"]])}, {"y": np.concatenate([ya["y"], yb["y"]])})
    found = merge([of(a, ya), of(b, yb)])
    assert counts(found) == counts(at_once)
    for one, other in zip(found.tensors, at_once.tensors, strict=True):
        for part, whole in zip(one.parts, other.parts, strict=True):
            assert part.numbers.values.tolist() == whole.numbers.values.tolist()


def test_what_is_merged_can_be_written() -> None:
    found = merge([document(2000, seed) for seed in range(5)])
    assert read(write(found), "here") == found


def test_one_alone_stays_what_it_was_and_none_is_refused() -> None:
    assert counts(merge([document(30)])) == counts(document(30))
    with pytest.raises(DataError, match="no sketches"):
        merge([])


def test_digests_stand_only_if_they_are_one() -> None:
    a, b = document(3, digest="a" * 64), document(3, digest="b" * 64)
    assert merge([a, a]).digest == "a" * 64
    assert merge([a, b]).digest is None


def test_what_is_not_of_one_model_is_refused() -> None:
    other = Sketcher(plan_of([TensorSpec("z", "int64", ("b", 2))], []))
    other.add({"z": np.array([[1, 2]])}, {})
    with pytest.raises(DataError, match="different tensors"):
        merge([document(3), other.document()])


def test_how_many_differ_is_united() -> None:
    made = []
    for start in (0, 30):
        one = Sketcher(plan_of([TensorSpec("z", "int64", ("b",))], []))
        one.add({"z": np.arange(start, start + 60)}, {})
        made.append(one.document())
    found = merge(made).tensors[0].distinct
    from mlopt.sketches.document import decoded
    from mlopt.sketches.library import distinct_values

    assert found is not None
    assert distinct_values(decoded(found)).get_estimate() == pytest.approx(90, rel=0.1)


def test_a_range_that_one_does_not_know_is_not_known() -> None:
    like = document(50)
    both = merge([document(20, like=like), document(20)])
    assert both.tensors[0].parts[0].above is None
