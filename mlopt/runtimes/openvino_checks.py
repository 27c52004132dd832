"""What OpenVINO would answer wrongly instead of refusing it: models, precisions for them, and what they are fed."""

from __future__ import annotations

from mlopt.core.errors import ModelError
from mlopt.formats.model import Model
from mlopt.formats.onnx.angles import counted_angle
from mlopt.formats.onnx.file import check_ranks, check_tensors, read_graph
from mlopt.formats.onnx.indices import longest_looked_up, rows_looked_up
from mlopt.formats.onnx.integers import Arithmetic, arithmetic
from mlopt.runtimes.base import Feeds
from mlopt.runtimes.feeds import check_feeds

OTHERWISE = "run it with `runtime: onnxruntime`"
_INEXACT = {"float64": "OpenVINO computes float64 in float32 on a CPU", "string": "OpenVINO's text is not taken here"}
_KINDS = 64
_BITS = 32
"""In which it adds and multiplies integers."""
_ROUNDED = dict.fromkeys((
    "Div", "Mod", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "ReduceMax", "ReduceMin", "ReduceSum",
), 2**24)  # fmt: skip
"""What it computes in float32, and to which integer that is exact."""


def check_model(model: Model) -> None:
    """Refuse what OpenVINO would take, and compute otherwise than the model says, or break at (text)."""
    check_tensors(model)
    check_ranks(model)
    for spec in (*model.inputs, *model.outputs):
        if spec.dtype in _INEXACT:
            raise ModelError(
                _INEXACT[spec.dtype], where=f"{model.path}: '{spec.name}'", got=spec.dtype,
                expected="inputs and outputs in float32, float16, integers or bool", fix=OTHERWISE,
            )  # fmt: skip


def check_rounding(model: Model, *, able: bool, static: bool) -> None:
    """Refuse bfloat16 on a CPU that is not ``able``, and where no samples could tell what it does to longer ones."""
    where, got, fix = str(model.path), "precision: bf16", "precision: exact"
    if not able:
        expected = "a CPU with AVX512_BF16 or AMX"
        raise ModelError("this CPU does not compute in bfloat16", where=where, got=got, expected=expected, fix=fix)
    angle = counted_angle(read_graph(model.path).graph, sizes_known=static)
    if angle is not None:
        what = f"bfloat16 would round what is counted before it becomes an angle ({angle})"
        raise ModelError(what, where=where, got=got, fix=fix)


class FeedCheck:
    """Raises ``ModelError`` for a feed that does not fit, or whose integers the model cannot take here."""

    def __init__(self, model: Model) -> None:
        self._inputs, self._where = model.inputs, str(model.path)
        self._only_floats = all(spec.dtype.startswith("float") for spec in model.inputs)
        self._fit: set[tuple[tuple[str, object, tuple[int, ...]], ...]] = set()
        """Names, types and sizes of feeds that were looked at and fit; no value of theirs can be wrong."""
        self._rows: dict[str, int] = {}
        self._integers = Arithmetic((), {}, ())
        self._longest: dict[tuple[str, int], int] = {}
        if any(spec.dtype.startswith(("int", "uint")) for spec in model.inputs):
            graph = read_graph(model.path).graph
            self._longest = longest_looked_up(graph)
            self._rows, self._integers = rows_looked_up(graph), arithmetic(graph)

    def __call__(self, feeds: Feeds) -> None:
        """Look at a feed; this takes microseconds, and less for one of a kind that was there before."""
        kind = tuple([(name, array.dtype, array.shape) for name, array in feeds.items()]) if self._only_floats else ()
        if kind in self._fit:
            return
        check_feeds(feeds, self._inputs, self._where, bits=_BITS, rows=self._rows)
        for (name, axis), rows in self._longest.items():
            if feeds[name].shape[axis] > rows:
                raise ModelError(
                    f"axis {axis} of input '{name}' is longer than the table of its positions", where=self._where,
                    got=str(feeds[name].shape[axis]), expected=f"at most {rows}",
                )  # fmt: skip
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
                got=f"from {found.low} to {found.high}", fix=OTHERWISE,
            )  # fmt: skip
        if kind and len(self._fit) < _KINDS:
            self._fit.add(kind)
