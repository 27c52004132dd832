"""Stages of a run that no other test sees alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mlopt import prepare
from mlopt.errors import ModelError
from mlopt.model import TensorSpec
from mlopt.workflow import _fed


@pytest.mark.parametrize(
    ("source", "shape", "fix"),
    [
        (prepare.SYNTHETIC, ("n", 3, "height"), prepare.REAL),
        (prepare.SYNTHETIC, ("n", 3, 8), None),
        ("x.npz", ("n", 3, "height"), None),
    ],
)
def test_real_samples_are_named_where_made_up_ones_of_a_free_size_did_not_fit(
    source: str, shape: tuple[int | str, ...], fix: str | None
) -> None:
    samples: Any = SimpleNamespace(source=source)
    model: Any = SimpleNamespace(inputs=(TensorSpec("x", "float32", shape),))
    with pytest.raises(ModelError) as caught, _fed(samples, model):
        raise ModelError("it could not run")
    assert caught.value.problems[0].fix == fix
