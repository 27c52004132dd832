"""What OpenVINO is fed, held against what it would answer wrongly instead of refusing it."""

from __future__ import annotations

from mlopt.core.errors import ModelError
from mlopt.formats.model import Model
from mlopt.formats.onnx.file import read_graph
from mlopt.formats.onnx.indices import rows_looked_up
from mlopt.formats.onnx.integers import Arithmetic, arithmetic
from mlopt.runtimes.base import Feeds
from mlopt.runtimes.feeds import check_feeds

_KINDS = 64
_BITS = 32
"""In which it adds and multiplies integers."""
_ROUNDED = dict.fromkeys((
    "Div", "Mod", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "ReduceMax", "ReduceMin", "ReduceSum",
), 2**24)  # fmt: skip
"""What it computes in float32, and to which integer that is exact."""


class FeedCheck:
    """Raises ``ModelError`` for a feed that does not fit, or whose integers the model cannot take here."""

    def __init__(self, model: Model) -> None:
        self._inputs, self._where = model.inputs, str(model.path)
        self._only_floats = all(spec.dtype.startswith("float") for spec in model.inputs)
        self._fit: set[tuple[tuple[str, object, tuple[int, ...]], ...]] = set()
        """Names, types and sizes of feeds that were looked at and fit; no value of theirs can be wrong."""
        self._rows: dict[str, int] = {}
        self._integers = Arithmetic((), {}, ())
        if any(spec.dtype.startswith(("int", "uint")) for spec in model.inputs):
            graph = read_graph(model.path).graph
            self._rows, self._integers = rows_looked_up(graph), arithmetic(graph)

    def __call__(self, feeds: Feeds) -> None:
        """Look at a feed; this takes microseconds, and less for one of a kind that was there before."""
        kind = tuple([(name, array.dtype, array.shape) for name, array in feeds.items()]) if self._only_floats else ()
        if kind in self._fit:
            return
        check_feeds(feeds, self._inputs, self._where, bits=_BITS, rows=self._rows)
        arrays = ((name, feeds[name]) for name in self._integers.inputs if name in feeds)
        ranges = {name: (int(array.min()), int(array.max())) for name, array in arrays if array.size}
        found = self._integers.beyond(ranges, _BITS, _ROUNDED) if ranges else None
        if found is not None:
            exact = (
                f"float32, which is exact to {_ROUNDED[found.operator]}"
                if found.operator in _ROUNDED
                else (f"{_BITS} bits")
            )
            raise ModelError(
                f"OpenVINO computes integers of this size wrongly: {found.operator} in {exact}", where=self._where,
                got=f"from {found.low} to {found.high}", fix="run it with `runtime: onnxruntime`",
            )  # fmt: skip
        if kind and len(self._fit) < _KINDS:
            self._fit.add(kind)
