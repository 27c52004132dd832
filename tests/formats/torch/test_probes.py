"""Inputs unlike the samples: other numbers, other sizes, and the integers from 0 on; the samples stay as they are."""

from __future__ import annotations

import numpy as np

from mlopt.formats.model import TensorSpec
from mlopt.formats.torch.probes import Feed, probes

X = TensorSpec("x", "float32", ("batch", 2))
IDS = TensorSpec("ids", "int64", ("batch", "t"))


def of(*specs: TensorSpec) -> list[Feed]:
    shape = {spec.name: [size if isinstance(size, int) else 4 if axis else 1 for axis, size in enumerate(spec.shape)]
             for spec in specs}  # fmt: skip
    return [{spec.name: np.ones(shape[spec.name], spec.dtype) for spec in specs} for _ in range(3)]


def test_numbers_become_smaller_larger_and_negative() -> None:
    found = list(probes(of(X), (X,)))
    values = [float(feed["x"][0, 0]) for feed in found]
    assert min(values) < -10 < 0 < min(map(abs, values)) < 0.01
    assert max(values) >= 1000
    assert {(feed["x"].shape, feed["x"].dtype.name) for feed in found} == {((1, 2), "float32")}


def test_every_free_size_but_the_batch_is_tried_from_1_to_long() -> None:
    found = list(probes(of(IDS), (IDS,)))
    lengths = {feed["ids"].shape[1] for feed in found}
    assert min(lengths) == 1
    assert max(lengths) > 100
    assert {feed["ids"].shape[0] for feed in found} == {1}


def test_sizes_of_one_name_change_together_and_others_stay() -> None:
    mask, image = TensorSpec("mask", "float32", ("batch", "t", "t")), TensorSpec("image", "float32", ("batch", "w"))
    for feed in probes(of(IDS, mask, image), (IDS, mask, image)):
        length = feed["ids"].shape[1]
        assert feed["mask"].shape == (1, length, length)
        assert length == 4 or feed["image"].shape == (1, 4) or feed["image"].shape == feed["ids"].shape


def test_integers_count_from_0_and_floats_beside_them_do_not() -> None:
    found = list(probes(of(IDS, X), (IDS, X)))
    counted = [feed["ids"] for feed in found if feed["ids"].max() > 1]
    assert counted
    for ids in counted:
        assert ids.dtype == np.int64
        assert set(range(int(ids.max()) + 1)) == set(ids.ravel().tolist())
    assert all((feed["x"] == 1).all() for feed in found if feed["ids"].max() > 1)


def test_samples_are_not_written_to_and_a_fixed_table_of_integers_has_no_other_numbers_than_counts() -> None:
    feeds = of(IDS, X)
    list(probes(feeds, (IDS, X)))
    assert all((array == 1).all() for feed in feeds for array in feed.values())
    fixed = TensorSpec("ids", "int64", (1, 5))
    assert [feed["ids"].tolist() for feed in probes(of(fixed), (fixed,))] == [[[0, 1, 2, 3, 4]]] * 3


def test_an_axis_without_elements_and_no_samples_at_all_are_no_problem() -> None:
    past = TensorSpec("past", "float32", ("batch", "p"))
    empty = [{"past": np.zeros((1, 0), np.float32)}]
    assert {feed["past"].shape for feed in probes(empty, (past,))} == {(1, 0)}
    assert list(probes([], (past,))) == []
