"""The Python interface: what the command line does, as two functions."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np

from mlopt.artifact.trust import KeyTrust
from mlopt.artifact.verify import verify
from mlopt.errors import IntegrityError
from mlopt.model import TensorSpec
from mlopt.onnx_file import open_onnx
from mlopt.packing import Artifact
from mlopt.runtimes import open_session
from mlopt.runtimes.base import RuntimeOptions
from mlopt.workflow import Request, execute

__all__ = ["Artifact", "Session", "load", "optimize"]

PathLike = str | os.PathLike[str]


class Session:
    """An optimized model, opened as it was measured. Close it, or use it as a context manager."""

    def __init__(self, directory: Path, key: Path | None) -> None:
        verified = verify(directory, KeyTrust.of(key))
        entry = verified.manifest.model
        model = open_onnx(directory / entry.file)
        if model.digest != entry.digest:
            raise IntegrityError(
                "the model is not the one that was verified", where=str(model.path), fix="verify again"
            )
        self._stack = ExitStack()
        self._session = self._stack.enter_context(
            open_session(model, RuntimeOptions.model_validate(verified.manifest.options))
        )
        self.inputs: tuple[TensorSpec, ...] = model.inputs
        self.outputs: tuple[TensorSpec, ...] = model.outputs

    def run(self, feeds: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
        """Run one inference; ``feeds`` maps input names to arrays of the shapes in ``inputs``."""
        return self._session.run({name: np.asarray(value) for name, value in feeds.items()})

    def close(self) -> None:
        """Free the model."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def load(artifact: PathLike, key: PathLike | None = None) -> Session:
    """Verify an artifact, then open its model with the runtime, threads and device that were measured.

    ``key`` is the public key that must have signed it; without it your own. Raises ``IntegrityError`` when the artifact
    is not what was signed, ``MissingPackage`` when its runtime is not installed.
    """
    return Session(Path(artifact), Path(key) if key is not None else None)


def optimize(
    source: PathLike,
    *,
    data: PathLike | None = None,
    output: PathLike | None = None,
    overrides: Sequence[str] = (),
    key: PathLike | None = None,
    sign: bool = True,
    cache: bool = True,
    allow_code: bool = False,
) -> Artifact:
    """Optimize a model: ``source`` is a recipe or a bare ``.onnx`` file; the keywords are those of the command.

    Returns the artifact, whose ``report.verdict`` tells whether the gates passed. Raises ``MloptError``.
    """
    return execute(
        Request(
            source=Path(source),
            data=Path(data) if data is not None else None,
            output=Path(output) if output is not None else None,
            overrides=tuple(overrides),
            key=Path(key) if key is not None else None,
            sign=sign,
            use_cache=cache,
            allow_code=allow_code,
        )
    )
