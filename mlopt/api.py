"""The Python interface: what the command line does, as two functions."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np

from mlopt.artifact.opened import opened
from mlopt.artifact.signing.base import Trust
from mlopt.artifact.signing.trust import chosen
from mlopt.formats.model import TensorSpec
from mlopt.run.optimize import execute
from mlopt.run.packaging import Artifact
from mlopt.run.request import Request

__all__ = ["Artifact", "Session", "load", "optimize"]

PathLike = str | os.PathLike[str]


class Session:
    """An optimized model, opened as it was measured. Close it, or use it as a context manager."""

    def __init__(self, directory: Path, trust: Trust | None) -> None:
        with ExitStack() as stack:
            found = stack.enter_context(opened(directory, trust))
            self._session = found.session
            self._stack = stack.pop_all()
        self.inputs: tuple[TensorSpec, ...] = found.deployable.model.inputs
        self.outputs: tuple[TensorSpec, ...] = found.deployable.model.outputs

    def run(self, feeds: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
        """Run one inference; ``feeds`` maps input names to arrays of the shapes in ``inputs``."""
        return self._session.run({name: np.asarray(value) for name, value in feeds.items()})

    def close(self) -> None:
        """Free the model, and remove the copy that it was opened from."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def load(
    artifact: PathLike,
    key: PathLike | None = None,
    *,
    roots: PathLike | None = None,
    identity: str | None = None,
    issuer: str | None = None,
) -> Session:
    """Verify an artifact, then open its model with the runtime, threads and device that were measured.

    The artifact is copied to a private temporary folder (``TMPDIR`` says where) while it is checked, and opened from
    there: what runs is what was signed, whoever can write to ``artifact``. Closing the session removes the copy.

    ``key`` is the public key that must have signed it; ``roots`` (PEM) with ``identity`` trust certificates, and
    ``identity`` with ``issuer`` keyless signers; with none of them your own key is trusted. Raises ``IntegrityError``
    when the artifact is not what was signed, ``OutputError`` when there is no room for the copy, ``MissingPackage``
    when its runtime is not installed, or is one that no installed package brings.
    """
    return Session(Path(artifact), chosen(_path(key), _path(roots), identity, issuer))


def _path(given: PathLike | None) -> Path | None:
    return None if given is None else Path(given)


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
    allow_pickle: bool = False,
    clobber: bool = True,
) -> Artifact:
    """Optimize a model: ``source`` is a recipe or a bare ``.onnx`` file; the keywords are those of the command.

    Returns the artifact, whose ``report.verdict`` tells whether the gates passed. Raises ``MloptError``.
    """
    return execute(
        Request(
            source=Path(source),
            data=_path(data),
            output=_path(output),
            overrides=tuple(overrides),
            key=_path(key),
            sign=sign,
            use_cache=cache,
            allow_code=allow_code,
            allow_pickle=allow_pickle,
            clobber=clobber,
        )
    )
