"""Models that only look as if their rows could be joined are found out by asking them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from mlopt.core.errors import ModelError
from mlopt.formats.model import TensorSpec
from mlopt.results.figures import Fidelity
from mlopt.serve.joining import Joining, joining_of
from mlopt.serve.probe import reason_not_to_join, warm_up

Arrays = Mapping[str, np.ndarray]


@dataclass
class Session:
    work: Callable[[np.ndarray], np.ndarray]
    inputs: tuple[TensorSpec, ...] = (TensorSpec("x", "float32", ("n", 4)),)
    outputs: tuple[TensorSpec, ...] = (TensorSpec("y", "float32", ("n", 4)),)

    def run(self, feeds: Arrays) -> dict[str, np.ndarray]:
        return {"y": self.work(feeds["x"])}


def reason(
    work: Callable[[np.ndarray], np.ndarray], fidelity: Fidelity | None = None, *, stated: bool = False, **specs: Any
) -> str | None:
    session = Session(work, **specs)
    joining = joining_of(session.inputs, session.outputs)
    assert isinstance(joining, Joining)
    return reason_not_to_join(session, joining, fidelity, stated=stated)


def test_rows_that_are_answered_as_alone_are_joined() -> None:
    assert reason(np.tanh) is None
    free = (TensorSpec("x", "float32", ("n", "length")),)
    assert reason(lambda x: x * 2, inputs=free) is None


@pytest.mark.parametrize(
    "work",
    [lambda x: np.cumsum(x, axis=0), lambda x: x - x.mean(axis=0), lambda x: x / np.abs(x).max()],
    ids=["time", "norm", "scale"],
)
def test_rows_that_see_each_other_are_not(work: Callable[[np.ndarray], np.ndarray]) -> None:
    assert reason(work) == "it answers rows together otherwise than alone"


def test_what_depends_on_the_batch_within_the_fidelity_is_joined_only_where_that_is_said() -> None:
    """As dynamic INT8 does: every value is rounded to one of 255 steps up to the largest of the batch."""

    def rounded(x: np.ndarray) -> np.ndarray:
        scale = np.abs(x).max() / 127
        return np.asarray(np.round(x / scale) * scale, np.float32)

    assert reason(rounded) == "it answers rows together otherwise than alone"
    promised = Fidelity(cosine=0.9999, sqnr_db=35.0, max_abs=0.1, n=8)
    assert "its answers depend on the batch" in (reason(rounded, promised) or "")
    assert reason(rounded, promised, stated=True) is None
    assert reason(rounded, stated=True) == "it answers rows together otherwise than alone"


def test_a_model_that_takes_nothing_that_is_made_up_cannot_be_tried() -> None:
    def refusing(_x: np.ndarray) -> np.ndarray:
        raise ModelError("TypeError: no such value")

    found = reason(refusing)
    assert found is not None
    assert "could not be tried" in found
    assert "could not be tried" in (warm_up(Session(refusing)) or "")
    assert warm_up(Session(lambda x: x)) is None


def test_an_output_that_has_other_rows_than_it_says() -> None:
    assert "has not one entry for each row" in (reason(lambda x: x[:1]) or "")
