"""What a request feeds, held against the model's interface before it comes near the model.

Pure. A fault is one sentence for whoever sent the request (``AnswerError``, status 400).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from mlopt.formats.fixed import difference
from mlopt.formats.model import TensorSpec
from mlopt.protocol.tensors import datatype_of
from mlopt.serve.faults import AnswerError, bad

Array = NDArray[Any]
Feeds = dict[str, Array]


class InputCheck:
    """The inputs of a model."""

    def __init__(self, specs: Sequence[TensorSpec]) -> None:
        self._specs = tuple(specs)
        self._fixed = {spec.name: spec.fixed_array() for spec in specs if spec.value is not None}

    def checked(self, arrays: Mapping[str, Array]) -> Feeds:
        """Return the feeds of a request; raises ``AnswerError`` where names, dtypes, sizes or values do not fit.

        Sizes of one name are one size; an input that the model was made for one value of must hold that.
        """
        expected = [spec.name for spec in self._specs]
        if set(arrays) != set(expected):
            odd = sorted(set(arrays) - set(expected))
            what = f"the model has no input '{odd[0]}'" if odd else "an input is missing"
            raise bad(what, ", ".join(arrays) or "no inputs", ", ".join(expected))
        sizes: dict[str, int] = {}
        for spec in self._specs:
            fault = self._fault(arrays[spec.name], spec, sizes)
            if fault is not None:
                raise fault
        return {name: arrays[name] for name in expected}

    def _fault(self, array: Array, spec: TensorSpec, sizes: dict[str, int]) -> AnswerError | None:
        wanted_type, found_type = datatype_of(spec.dtype), _datatype(array)
        got, told = f"{found_type} {_shown(array.shape)}", f"{wanted_type} {_shown(spec.shape)}"
        if found_type != wanted_type:
            return bad(f"input '{spec.name}' is of another type", got, told)
        if array.ndim != len(spec.shape):
            return bad(f"input '{spec.name}' has another number of axes", got, told)
        for size, wanted in zip(array.shape, spec.shape, strict=True):
            known = sizes.setdefault(wanted, size) if isinstance(wanted, str) else wanted
            if size != known:
                return bad(f"input '{spec.name}' has sizes that do not fit", got, told)
        return self._other_value(array, spec)

    def _other_value(self, array: Array, spec: TensorSpec) -> AnswerError | None:
        wanted = self._fixed.get(spec.name)
        found = None if wanted is None else difference(array, wanted)
        return bad(f"input '{spec.name}' holds what the model was not made for", found) if found else None


def _datatype(array: Array) -> str:
    return datatype_of("object" if array.dtype.kind in "OSU" else array.dtype.name)


def _shown(shape: Sequence[int | str]) -> str:
    return f"[{', '.join(map(str, shape))}]"
