"""An artifact opened for use: verified, copied while it was checked, and its model opened from the copy as measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from mlopt.artifact.deployed import shipped
from mlopt.artifact.signing.base import Trust
from mlopt.artifact.verify import Verified, verify
from mlopt.core.errors import IntegrityError
from mlopt.runtimes.base import Deployable, Session
from mlopt.runtimes.table import open_session


@dataclass(frozen=True)
class OpenArtifact:
    """A model that runs, and what is known of it."""

    verified: Verified
    """Of the private copy: what runs is what was signed, whoever can write to the artifact."""
    deployable: Deployable
    session: Session


@contextmanager
def opened(directory: Path, trust: Trust | None, *, min_version: int | None = None) -> Iterator[OpenArtifact]:
    """Give an artifact's open model; the copy (``TMPDIR`` says where) is gone afterwards.

    Raises what ``verify`` does, ``MissingPackage`` where its runtime is not installed, and ``IntegrityError`` where the
    model is not the one that the manifest describes.
    """
    with TemporaryDirectory(prefix="mlopt-model-") as private:
        verified = verify(directory, trust, min_version=min_version, copy_to=Path(private) / "artifact")
        entry = verified.manifest.model
        deployable = shipped(verified.directory, verified.manifest, directory)
        if deployable.model.digest != entry.digest:
            raise IntegrityError(
                "the model is not the one that the manifest describes", where=str(directory / entry.file),
                got=f"digest {deployable.model.digest}", expected=f"digest {entry.digest}",
                fix="make the artifact again",
            )  # fmt: skip
        with open_session(deployable) as session:
            yield OpenArtifact(verified, deployable, session)
