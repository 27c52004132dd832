"""Random samples for a model without data: of the right shapes, whatever the inputs' first axes are."""

from __future__ import annotations

import pytest

from mlopt.data.feeds import batches
from mlopt.errors import Problem
from mlopt.model import TensorSpec
from mlopt.prepare import may_be_sizes, synthetic

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
        {"audio": (1, 16), "state": (2, 16, 128), "rate": ()},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_random_samples_fit_the_inputs(name: str) -> None:
    specs, shapes = CASES[name]
    feeds, _ = next(batches(synthetic(specs), specs, 2))
    assert {key: value.shape for key, value in feeds.items()} == shapes
    assert {key: str(value.dtype) for key, value in feeds.items()} == {spec.name: spec.dtype for spec in specs}


@pytest.mark.parametrize(
    ("got", "likely"),
    [
        ("IndexError: index out of range in self", True),
        ("RuntimeError: mat1 and mat2 shapes cannot be multiplied (1x5 and 4x2)", True),
        ("AssertionError: the height must be a multiple of 32", True),
        ("TypeError: forward() got an unexpected keyword argument 'mask'", False),
        ("ModuleNotFoundError: No module named 'torchvison'", False),
        ("AttributeError: 'Net' object has no attribute 'head'", False),
        ("KeyError: 'hidden'", False),
    ],
)
def test_made_up_inputs_are_blamed_only_where_they_may_be_the_cause(got: str, likely: bool) -> None:
    assert may_be_sizes(Problem("forward() failed", got=got)) is likely
    assert not may_be_sizes(Problem("forward() failed", got=got, fix="declare another dtype"))
