"""NumPy runs toy models, its weights laid out by rows or by columns."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np

from mlopt.formats.model import Model
from mlopt.runtimes.base import Feeds, Runtime, RuntimeOptions, Session
from mlopt_outside.toy_format import TOY, read


class ToyOptions(RuntimeOptions):
    """How the weights lie in memory."""

    order: Literal["rows", "columns"] = "rows"


class ToySession:
    """An open model."""

    def __init__(self, model: Model, options: ToyOptions) -> None:
        said, order = read(model.path), "C" if options.order == "rows" else "F"
        self.inputs, self.outputs = model.inputs, model.outputs
        self._weight = np.array(said["weight"], np.float32, order=order)
        self._bias = np.array(said["bias"], np.float32)

    def run(self, feeds: Feeds) -> dict[str, np.ndarray]:
        """Run one inference."""
        return {self.outputs[0].name: feeds[self.inputs[0].name] @ self._weight + self._bias}


@contextmanager
def open_toy(model: Model, options: ToyOptions) -> Iterator[Session]:
    """Load the model."""
    yield ToySession(model, options)


RUNTIME = Runtime(
    name="toyrt",
    kinds=frozenset({TOY}),
    options=ToyOptions,
    open=open_toy,
    packages=("mlopt-outside",),
    errors=lambda: (ValueError, KeyError),
)
