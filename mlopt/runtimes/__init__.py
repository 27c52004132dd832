"""The runtimes that mlopt knows: one line each."""

from __future__ import annotations

from contextlib import AbstractContextManager

from mlopt.errors import ModelError
from mlopt.model import Kind, Model
from mlopt.runtimes import onnxruntime, torch
from mlopt.runtimes.base import Runtime, RuntimeOptions, Session

__all__ = ["RUNTIMES", "Runtime", "RuntimeOptions", "Session", "open_session", "runtime_for"]

RUNTIMES: tuple[Runtime, ...] = (
    onnxruntime.RUNTIME,
    torch.RUNTIME,
)


def runtime_for(kind: Kind) -> Runtime:
    """Return the runtime that runs models of ``kind``; raises ``ModelError`` if none does."""
    for runtime in RUNTIMES:
        if kind in runtime.kinds:
            return runtime
    known = ", ".join(sorted(kind for runtime in RUNTIMES for kind in runtime.kinds))
    raise ModelError("no runtime runs models of this kind", got=kind, expected=known)


def open_session(model: Model, options: RuntimeOptions) -> AbstractContextManager[Session]:
    """Open a model in the runtime of its kind; raises ``ModelError`` or ``MissingPackage``."""
    return runtime_for(model.kind).open(model, options)
