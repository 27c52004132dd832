"""Random samples for a model without data: of the right shapes, whatever the inputs' first axes are."""

from __future__ import annotations

import pytest

from mlopt.data.feeds import batches
from mlopt.data.made_up import samples_of
from mlopt.data.sizes import attempts
from mlopt.model import TensorSpec

CASES = {
    "images": ((TensorSpec("image", "float32", ("batch", 3, 8, 8)),), {"image": (2, 3, 8, 8)}),
    "one at a time": ((TensorSpec("image", "float32", (1, 3, 8, 8)),), {"image": (1, 3, 8, 8)}),
    "text": ((TensorSpec("ids", "int64", ("batch", "sequence")),), {"ids": (2, 16)}),
    "state and a scalar": (
        (
            TensorSpec("audio", "float32", ("batch", "samples")),
            TensorSpec("state", "float32", (2, "batch", 128)),
            TensorSpec("rate", "int64", ()),
        ),
        {"audio": (1, 16), "state": (2, 1, 128), "rate": ()},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_random_samples_fit_the_inputs(name: str) -> None:
    specs, shapes = CASES[name]
    feeds, _ = next(batches(samples_of(next(attempts(specs)), specs), specs, 2))
    assert {key: value.shape for key, value in feeds.items()} == shapes
    assert {key: str(value.dtype) for key, value in feeds.items()} == {spec.name: spec.dtype for spec in specs}
