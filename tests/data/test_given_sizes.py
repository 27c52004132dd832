"""Sizes that a user names take the place of free ones, in every input that shares their name."""

from __future__ import annotations

import pytest

from mlopt.core.errors import DataError
from mlopt.data.given_sizes import with_sizes
from mlopt.formats.model import TensorSpec

IMAGE = TensorSpec("image", "float32", ("batch", 3, "height", "width"))
MASK = TensorSpec("mask", "int64", ("batch", "height", "2*width"))


def test_free_sizes_become_these_and_the_batch_stays() -> None:
    image, mask = with_sizes([IMAGE, MASK], {"image": (1, 3, 20, 30)})
    assert image.shape == ("batch", 3, 20, 30)
    assert mask.shape == ("batch", 20, 60)
    assert with_sizes([IMAGE, MASK], {}) == (IMAGE, MASK)


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ({"picture": (1, 3, 4, 4)}, "no such input"),
        ({"image": (1, 3, 4)}, "another shape"),
        ({"image": (1, 4, 4, 4)}, "another shape"),
    ],
)
def test_what_does_not_fit_is_told_with_the_option(shapes: dict[str, tuple[int, ...]], said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        with_sizes([IMAGE], shapes)
    assert str(caught.value.problems[0].where).startswith("--shape ")


def test_everything_that_does_not_fit_is_told_at_once() -> None:
    with pytest.raises(DataError) as caught:
        with_sizes([IMAGE, MASK], {"image": (1,), "mask": (1,)})
    assert len(caught.value.problems) == 2
