"""Runtimes for ONNX files that do what they should not, each in its own way, and some that are good and very fast.

A test says which of them there are, by entry points: ``odd_crashes = mlopt_odd:crashes``. What they answer, ONNX
Runtime computes; for the fast ones only once.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from mlopt.core.errors import ModelError
from mlopt.formats.model import ONNX, Model
from mlopt.runtimes import onnxruntime
from mlopt.runtimes.base import Feeds, Runtime, RuntimeOptions, Session

Outputs = dict[str, np.ndarray]
SLOW = 0.002


class OddOptions(RuntimeOptions):
    """None of its own."""


class StrangeError(ModelError):
    """One that is not to be made again from what it holds, so that no other process can read it."""

    def __init__(self, *, code: int) -> None:
        super().__init__("strange")
        self.code = code


def hang() -> None:
    """Do nothing, for longer than anybody waits."""
    time.sleep(3600)


def crash() -> None:
    """Read what is not there."""
    import ctypes

    ctypes.string_at(0)


def spin() -> None:
    """Leave threads behind that compute for ever, and keep the process alive."""
    for _ in range(2):
        threading.Thread(target=_compute, daemon=False).start()


def _compute() -> None:
    while True:
        sum(range(1000))


def astonish() -> None:
    """Raise what does not survive the way to another process."""
    raise StrangeError(code=3)


def interrupt() -> None:
    """Raise what ``except Exception`` lets through."""
    raise KeyboardInterrupt


def leave() -> None:
    """End the process, as a library may that does not find its licence."""
    raise SystemExit("no licence")


def grumble() -> None:
    """Raise what no error is made for, with more than a line to say."""
    raise LookupError("\n\nnothing\nfound\n" * 3)


AT_OPENING = {
    "crashes": crash, "hangs": hang, "spins": spin, "strange": astonish, "interrupts": interrupt, "leaves": leave,
    "grumbles": grumble,
}  # fmt: skip
ANSWERS = {
    "nan": lambda outputs: {name: np.full_like(array, np.nan) for name, array in outputs.items()},
    "flat": lambda outputs: {name: array.reshape(-1) for name, array in outputs.items()},
    "wider": lambda outputs: {name: np.concatenate([array, array], axis=-1) for name, array in outputs.items()},
    "nameless": lambda outputs: {f"{name}_0": array for name, array in outputs.items()},
    "none": dict.fromkeys,
    "double": lambda outputs: {name: array.astype(np.float64) for name, array in outputs.items()},
    "random": lambda outputs: {n: np.random.default_rng().random(a.shape, np.float32) for n, a in outputs.items()},
    "turned": lambda outputs: {name: np.roll(array, 1, axis=-1) for name, array in outputs.items()},
}


class OddSession:
    """ONNX Runtime's, until it is what it is."""

    def __init__(self, session: Session, behaviour: str, *, quantized: bool) -> None:
        self.inputs, self.outputs = session.inputs, session.outputs
        self._session, self._behaviour, self._calls = session, behaviour, 0
        self._fast = behaviour in {"recalls", "repeats"} or (behaviour == "wants_int8" and quantized)
        self._answers: dict[bytes, Outputs] = {}

    def run(self, feeds: Feeds) -> Outputs:
        """Run one inference, or what there is instead of one."""
        if self._fast:
            key = b"" if self._behaviour == "repeats" else b"".join(array.data for array in feeds.values())
            if key not in self._answers:
                self._answers[key] = self._session.run(feeds)
            return self._answers[key]
        self._calls += 1
        if self._behaviour == "tires" and self._calls == 3:
            hang()
        if self._behaviour in {"spins", "wants_int8"}:
            time.sleep(SLOW)
        return ANSWERS.get(self._behaviour, dict)(self._session.run(feeds))


def runtime(behaviour: str) -> Runtime[OddOptions]:
    """Return the runtime that behaves like that."""

    @contextmanager
    def opened(model: Model, options: OddOptions) -> Iterator[Session]:
        AT_OPENING.get(behaviour, lambda: None)()
        own = onnxruntime.OnnxRuntimeOptions(threads=options.threads)
        with onnxruntime.open_(model, own) as session:
            yield OddSession(session, behaviour, quantized=b"QuantizeLinear" in model.path.read_bytes())

    def choices(options: OddOptions, _one_size: bool) -> tuple[OddOptions, ...]:
        return (options,) if behaviour != "chooses" else {}["what there is"]

    kinds, packages = frozenset({ONNX}), ("mlopt-odd",)
    return Runtime(f"odd_{behaviour}", kinds, OddOptions, opened, packages=packages, choices=choices)


def __getattr__(behaviour: str) -> Runtime[OddOptions]:
    if behaviour.startswith("_"):
        raise AttributeError(behaviour)
    return runtime(behaviour)
