"""Which outputs have an entry per row is told by their shapes, or else by the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mlopt.data.ragged import ragged
from mlopt.formats.model import TensorSpec
from mlopt.predict.answers import Answering, joined, rows_not_finite
from mlopt.predict.shards import Fault

X = np.arange(12, dtype=np.float32).reshape(6, 2)


class Model:
    """A session of one function."""

    def __init__(self, answer: Callable[[Any], dict[str, Any]], batch: int | str, *outputs: TensorSpec) -> None:
        self.inputs, self.outputs = (TensorSpec("x", "float32", (batch, 2)),), outputs
        self._answer, self.fed = answer, list[tuple[int, ...]]()

    def run(self, feeds: Any) -> dict[str, Any]:
        self.fed.append(feeds["x"].shape)
        return self._answer(feeds["x"])


def asked(model: Model, rows: list[int], batch_size: int = 4, x: Any = X) -> Any:
    answering = Answering(model, model.inputs, {"x": x}, batch_size)
    model.fed.clear()
    found = answering.answers(rows)
    return found if isinstance(found, Fault) else {name: joined(parts).tolist() for name, parts in found.items()}


def twice(x: Any) -> dict[str, Any]:
    return {"y": x * 2}


def test_a_batch_is_filled_and_only_its_rows_come_back() -> None:
    model = Model(twice, "batch", TensorSpec("y", "float32", ("batch", 2)))
    assert asked(model, [1, 2]) == {"y": [[4, 6], [8, 10]]}
    assert asked(model, [1, 3, 5]) == {"y": [[4, 6], [12, 14], [20, 22]]}
    assert model.fed == [(4, 2)]


def test_a_fixed_batch_is_kept() -> None:
    model = Model(twice, 3, TensorSpec("y", "float32", (3, 2)))
    assert asked(model, [5]) == {"y": [[20, 22]]}
    assert model.fed == [(3, 2)]


def test_an_axis_of_another_name_is_asked_for() -> None:
    batched = Model(twice, "batch", TensorSpec("y", "float32", ("dim_7", 2)))
    assert asked(batched, [0, 1]) == {"y": [[0, 2], [4, 6]]}
    found = Model(lambda x: {"y": x[x > 3]}, "batch", TensorSpec("y", "float32", ("dim_7",)))
    assert asked(found, [1], batch_size=1) == {"y": [[]]}
    assert asked(found, [2], batch_size=1) == {"y": [[4, 5]]}


def test_a_sum_over_the_batch_is_computed_row_by_row() -> None:
    model = Model(lambda x: {"y": x.sum(keepdims=False)}, "batch", TensorSpec("y", "float32", ()))
    answering = Answering(model, model.inputs, {"x": X}, 4)
    assert answering.batch_size == 1
    assert asked(model, [2]) == {"y": [9]}


def test_a_model_without_a_batch_axis_gets_each_row_whole() -> None:
    model = Model(twice, 2, TensorSpec("y", "float32", (2, 2)))
    assert asked(model, [1], x=np.arange(12, dtype=np.float32).reshape(3, 2, 2)) == {"y": [[[8, 10], [12, 14]]]}
    assert model.fed == [(2, 2)]


def test_what_is_raised_is_a_fault_in_one_line() -> None:
    def fails(x: Any) -> dict[str, Any]:
        raise RuntimeError("no such word" * 100)

    found = asked(Model(fails, "batch", TensorSpec("y", "float32", ("batch", 2))), [0])
    assert isinstance(found, Fault)
    assert found.message.startswith("RuntimeError: no such word")
    assert len(found.message) == 300


def test_a_value_that_the_model_cannot_hold_is_a_fault_of_its_row() -> None:
    model = Model(twice, "batch", TensorSpec("y", "float32", ("batch", 2)))
    x = X.astype(np.float64)
    x[3] = 1e300
    assert asked(model, [0], x=x) == {"y": [[0, 2]]}
    found = asked(model, [2, 3], x=x)
    assert isinstance(found, Fault)
    assert found.message.startswith("a value does not fit into float32")


def test_an_output_that_breaks_its_word_is_a_fault() -> None:
    model = Model(lambda x: {"y": x[:1]}, "batch", TensorSpec("y", "float32", ("batch", 2)))
    found = asked(model, [0, 1])
    assert isinstance(found, Fault)
    assert found.message == "an output has not one entry for each row, though its shape says so: shape [1, 2]"


@pytest.mark.parametrize(
    ("outputs", "count"),
    [
        ([], 0),
        ([np.array([[1.0, np.nan], [1, 2], [np.inf, 0]])], 2),
        ([np.array([1.0, np.nan]), np.array([np.inf, np.nan])], 2),
        ([np.array([1, 2]), np.array(["nan", "inf"])], 0),
        ([ragged([np.array([1.0]), np.array([1.0, -np.inf])])], 1),
    ],
)
def test_rows_that_are_not_finite_are_counted_once(outputs: list[Any], count: int) -> None:
    assert rows_not_finite(outputs) == count
