"""Parts of the data are like the whole, whatever order the data come in."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlopt.compress.quantization.quality_check import hold_back
from mlopt.data.choice import order, part, typical
from mlopt.data.dataset import Samples, store
from mlopt.data.reading import read
from mlopt.data.source import DataSource
from mlopt.formats.model import TensorSpec

labels_in_any_order = st.one_of(
    st.lists(st.integers(0, 5), max_size=200),
    st.lists(st.sampled_from(["cat", "dog", "hen"]), max_size=60).map(sorted),
    st.tuples(st.integers(2, 9), st.integers(1, 150)).map(lambda t: [n % t[0] for n in range(t[1])]),
)


def shares(labels: list, rows: np.ndarray) -> dict:
    return {each: sum(labels[row] == each for row in rows) for each in set(labels)}


@given(labels_in_any_order)
@settings(deadline=None)
@example([0] * 300 + [1] * 3 + [2] * 30)
def test_whatever_the_order_begins_with_has_each_class_in_its_share(labels: list) -> None:
    found = order(len(labels), np.array(labels))
    assert sorted(found) == list(range(len(labels)))
    counts = dict.fromkeys(labels, 0)
    for taken, row in enumerate(found, start=1):
        counts[labels[row]] += 1
        assert all(abs(n - taken * labels.count(each) / len(labels)) < 1 for each, n in counts.items())


@given(labels_in_any_order, st.lists(st.floats(0, 1), max_size=3), st.booleans())
@settings(deadline=None)
def test_parts_are_disjoint_and_complete_and_have_each_class(labels: list, cuts: list[float], labelled: bool) -> None:
    edges = sorted({0.0, 1.0, *cuts})
    count, given_ = len(labels), np.array(labels) if labelled else None
    parts = [part(count, (low, high), None, given_) for low, high in pairwise(edges)]
    assert sorted(np.concatenate(parts)) == list(range(count))
    for rows in parts if labelled else ():
        assert (np.diff(rows) > 0).all()
        for each, n in shares(labels, rows).items():
            assert abs(n - labels.count(each) * len(rows) / count) < 2


@pytest.mark.parametrize("period", [2, 3, 7, 10])
def test_no_order_of_classes_is_met_by_a_rhythm(period: int) -> None:
    labels = np.arange(period * 24) % period
    for known in (labels, np.sort(labels)):
        assert np.bincount(known[typical(len(known), period * 2, known)]).tolist() == [2] * period
        rows = typical(len(known), 4 * period)  # without labels: most of the classes, by a fixed shuffle
        assert len(set(known[rows])) > period / 2
    assert typical(5, 9).tolist() == [0, 1, 2, 3, 4]
    assert order(50).tolist() == order(50).tolist() != list(range(50))


@pytest.mark.parametrize(
    "labels", [np.arange(40) / 7, np.zeros((20, 2)), np.array([b"a"] * 40).astype(object), np.zeros((40, 0))]
)
def test_what_is_no_class_plays_no_part(labels: np.ndarray) -> None:
    assert order(40, labels).tolist() == order(40).tolist()


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(1, 20))
@settings(deadline=None)
def test_equal_samples_stay_together(values: list[int], limit: int) -> None:
    first, second = (part(len(values), edges, None, same=values) for edges in ((0.0, 0.5), (0.5, 1.0)))
    assert len(set(values)) == 1 or not {values[row] for row in first} & {values[row] for row in second}
    assert len(first) + len(second) == len(values)
    assert len(part(len(values), (0.0, 1.0), limit, same=values)) == min(limit, len(values))


def saved(folder: Path, labels: np.ndarray, **more: np.ndarray) -> Path:
    np.savez(folder / "d.npz", x=np.arange(2 * len(labels), dtype=np.float32).reshape(-1, 2), labels=labels, **more)
    return folder


X = (TensorSpec("x", "float32", ("batch", 2)),)


def test_halves_of_sorted_data_have_all_classes(tmp_path: Path) -> None:
    saved(tmp_path, np.repeat([0, 1, 2], 20))
    halves = [read(DataSource(source="d.npz", split=split), tmp_path, X) for split in ((0.0, 0.5), (0.5, 1.0))]
    assert [np.bincount(half.labels).tolist() for half in halves if half.labels is not None] == [[10] * 3] * 2
    assert not set(halves[0].inputs["x"][:, 0]) & set(halves[1].inputs["x"][:, 0])
    few = read(DataSource(source="d.npz", limit=6), tmp_path, X)
    assert few.labels is not None
    assert few.labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_time_is_split_in_its_order_if_asked(tmp_path: Path) -> None:
    saved(tmp_path, np.arange(10))
    later = read(DataSource(source="d.npz", split=(0.5, 1.0), limit=3, in_order=True), tmp_path, X)
    assert later.labels is not None
    assert later.labels.tolist() == [5, 6, 7]


@pytest.mark.parametrize("labels", [np.repeat([0, 1, 2], 30), np.arange(90) % 3, np.repeat([7, 8], [80, 10])])
def test_what_is_held_back_is_like_what_is_not(labels: np.ndarray, tmp_path: Path) -> None:
    data = store(Samples({"x": np.arange(90, dtype=np.float32)}, labels), tmp_path / "all", "x")
    for held in hold_back(data, tmp_path):
        assert held.labels is not None
        share = np.bincount(held.labels, minlength=9) / held.count
        assert np.abs(share - np.bincount(labels, minlength=9) / 90).max() < 2 / held.count
