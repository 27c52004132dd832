"""What a model answers to rows: in batches where each output has an entry per row, else row by row.

Outputs say by their declared shape whether their first axis is the batch: it has the size, or the name, of the first
axis of an input. Where a name leaves that open, the model is asked: it is fed with one row two and three times over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mlopt.core.errors import MloptError, ModelError
from mlopt.data import ragged
from mlopt.data.dataset import Array, Samples
from mlopt.data.feeds import batch_of, batches, check_inputs
from mlopt.formats.model import TensorSpec
from mlopt.predict.shards import Fault
from mlopt.runtimes.base import Session

Answers = dict[str, list[Array]]
"""By output, one array per row."""
_ASKED_ROWS = 3
_LONGEST = 300


class Answering:
    """An open model that is asked about rows of mapped arrays; each of the arrays [rows, ...]."""

    def __init__(
        self, session: Session, inputs: tuple[TensorSpec, ...], arrays: Mapping[str, Array], batch_size: int
    ) -> None:
        self._session, self._inputs, self._arrays = session, inputs, arrays
        first = Samples({name: array[:1] for name, array in arrays.items()})
        self.batch_size = batch_of(first, inputs, batch_size)
        self._least = batch_of(first, inputs, 1)
        self._whole = any(arrays[spec.name].ndim == len(spec.shape) + 1 for spec in inputs)
        self._with_axis = self._batched()
        if any(spec.name not in self._with_axis for spec in session.outputs):
            self.batch_size = 1

    def answers(self, rows: Sequence[int]) -> Answers | Fault:
        """Return the outputs of at most ``batch_size`` rows, or why there are none."""
        try:
            return self._answers(rows)
        except MloptError as error:
            return Fault(error.brief[:_LONGEST])
        except Exception as error:  # noqa: BLE001 - whatever a library raises about a row is that row's fault
            return Fault(f"{type(error).__name__}: {error}"[:_LONGEST])

    def _answers(self, rows: Sequence[int]) -> Answers:
        outputs = self._run(rows, max(self.batch_size, self._least))
        return {name: self._parted(name, output, len(rows)) for name, output in outputs.items()}

    def _run(self, rows: Sequence[int], size: int) -> Mapping[str, Array]:
        """Run the model once, on these rows; a batch that they do not fill repeats the last of them."""
        together = rows[-1] - rows[0] + 1 == len(rows)
        chosen = slice(rows[0], rows[-1] + 1) if together else list(rows)
        taken = Samples({name: np.asarray(array[chosen]) for name, array in self._arrays.items()})
        fitted = check_inputs(taken, self._inputs, "data")
        ((feeds, _),) = batches(fitted, self._inputs, size)
        return self._session.run(feeds)

    def _parted(self, name: str, output: Array, count: int) -> list[Array]:
        if name not in self._with_axis:
            return [np.array(output)]
        if output.shape[:1] != (max(self.batch_size, self._least),):
            raise ModelError(
                "an output has not one entry for each row, though its shape says so", where=f"output '{name}'",
                got=f"shape {list(output.shape)}", expected=f"{self.batch_size} entries",
            )  # fmt: skip
        return list(np.array(output[:count]))

    def _batched(self) -> frozenset[str]:
        """Return the outputs whose first axis counts rows."""
        if self._whole:
            return frozenset()
        first = {spec.shape[0] for spec in self._inputs if spec.shape}
        sure = {spec.name for spec in self._session.outputs if spec.shape and spec.shape[0] in first}
        open_ = {
            spec.name for spec in self._session.outputs
            if spec.name not in sure and spec.shape and isinstance(spec.shape[0], str)
        }  # fmt: skip
        return frozenset(sure | (self._asked(open_) if open_ else set()))

    def _asked(self, names: set[str]) -> set[str]:
        """Return those of the outputs that have as many entries as rows were fed, whatever the number."""
        sizes = (self._least,) if self._least > 1 else (2, 3)
        left, heard = set(names), False
        for row in range(min(_ASKED_ROWS, len(next(iter(self._arrays.values()))))):
            for size in sizes:
                try:
                    outputs = self._run([row], batch_of(Samples(dict(self._arrays)), self._inputs, size))
                except Exception:  # noqa: BLE001, S112 - such a row is told of when its turn comes
                    continue
                heard = True
                left = {name for name in left if outputs[name].shape[:1] == (size,)}
        return left if heard else set()


def joined(parts: Sequence[Array]) -> Array:
    """Return rows' outputs as one array [rows, ...], or ragged where their shapes differ."""
    return ragged.joined(parts)


def rows_not_finite(outputs: Sequence[Array]) -> int:
    """Return how many rows have NaN or infinity in any of the outputs, [rows, ...] or ragged, of the same rows."""
    bad = np.zeros(len(outputs[0]) if outputs else 0, dtype=bool)
    for output in outputs:
        if ragged.is_ragged(output):
            bad |= np.array([_is_odd(part) for part in output], dtype=bool)
        elif output.dtype.kind in "fc":
            bad |= ~np.isfinite(output).reshape(len(output), -1).all(axis=1)
    return int(bad.sum())


def _is_odd(part: Array) -> bool:
    return part.dtype.kind in "fc" and not bool(np.isfinite(part).all())
