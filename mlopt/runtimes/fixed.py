"""What is fed, held against what a model is fixed to: no runtime knows of values, and some do not look at sizes."""

from __future__ import annotations

from collections.abc import Callable

from mlopt.core.errors import ModelError
from mlopt.formats.fixed import difference
from mlopt.formats.model import Model, TensorSpec
from mlopt.runtimes.base import Array, Feeds, Session

Check = Callable[[Feeds], None]
_INSTEAD = "feed what it was made for, or make an artifact for other sizes and values (the step `specialize`)"


def held(session: Session, model: Model) -> Session:
    """Return the session of a model; if that is fixed to something, one that refuses feeds of anything else."""
    check = check_of(model)
    return session if check is None else _Held(session, check)


def check_of(model: Model) -> Check | None:
    """Return what raises ``ModelError`` for a feed of another size or value; None if the model is fixed to nothing.

    It takes microseconds; what is missing in a feed, or too much, is for the runtime to tell.
    """
    if not model.sizes and not model.fixed:
        return None
    expected = [_Expected(spec) for spec in model.inputs]
    values = (str(spec) for spec in model.inputs if spec.value is not None)
    fixed_to = ", ".join((*(f"{name}: {size}" for name, size in model.sizes), *values))

    def check(feeds: Feeds) -> None:
        for each in expected:
            fed = feeds.get(each.spec.name)
            if fed is not None and not each.takes(fed):
                raise ModelError(
                    f"input '{each.spec.name}' is fed with what the model is not made for", where=str(model.path),
                    got=each.fault(fed), expected=f"what it is fixed to: {fixed_to}", fix=_INSTEAD,
                )  # fmt: skip

    return check


class _Expected:
    """An input with what it must be fed with, in the form that is compared fastest."""

    def __init__(self, spec: TensorSpec) -> None:
        self.spec = spec
        self._axes = [(axis, size) for axis, size in enumerate(spec.shape) if isinstance(size, int)]
        self._shape = None if spec.dynamic_axes else spec.shape
        self._array = spec.fixed_array()
        self._bytes = None if self._array is None or spec.dtype == "string" else self._array.tobytes()

    def takes(self, fed: Array) -> bool:
        if self._array is None:
            return fed.shape == self._shape if self._shape is not None else self._fits(fed)
        same = fed.dtype == self._array.dtype and fed.shape == self._shape and fed.tobytes() == self._bytes
        return same or difference(fed, self._array) is None

    def fault(self, fed: Array) -> str:
        """Return what is wrong with an array that it does not take."""
        found = None if self._array is None else difference(fed, self._array)
        return found or f"{fed.dtype}{list(fed.shape)} instead of {self.spec}"

    def _fits(self, fed: Array) -> bool:
        shape = fed.shape
        return len(shape) == len(self.spec.shape) and all(shape[axis] == size for axis, size in self._axes)


class _Held:
    """A session that looks at what it is fed before it runs."""

    def __init__(self, session: Session, check: Check) -> None:
        self.inputs, self.outputs = session.inputs, session.outputs
        self._run, self._check = session.run, check

    def run(self, feeds: Feeds) -> dict[str, Array]:
        self._check(feeds)
        return self._run(feeds)
