"""The model of an artifact with the runtime and the options that it was shipped with, as the tables here know them."""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import ValidationError

from mlopt.artifact.files import first_problem
from mlopt.artifact.fixed_to import FixedTo
from mlopt.artifact.given import given_manifest
from mlopt.artifact.layout import MANIFEST, Manifest
from mlopt.core.errors import IntegrityError
from mlopt.core.hardware import usable_cores
from mlopt.formats import table as formats
from mlopt.runtimes.base import Deployable, RuntimeOptions
from mlopt.runtimes.table import deploy, runtime_named

_LOG = logging.getLogger(__name__)


def shipped(directory: Path, manifest: Manifest, told: Path | None = None) -> Deployable:
    """Open the model's file in ``directory``, with how the manifest says to run it; ``told`` is what users call it.

    Raises ``MissingPackage`` for a runtime that no installed package brings, ``ModelError`` for such a kind, and
    ``IntegrityError`` for options that make no sense, or that the runtime does not know.
    """
    options = stated_options(told or directory, manifest)
    model = formats.format_of(manifest.model.kind).open(directory / manifest.model.file)
    if FixedTo.of(model) != manifest.model.fixed:
        raise IntegrityError(
            "the manifest and the model's file disagree about what the model is fixed to",
            where=str((told or directory) / MANIFEST), got=str(manifest.model.fixed), expected=str(FixedTo.of(model)),
            fix="make the artifact again",
        )  # fmt: skip
    return Deployable(model, manifest.runtime, options)


def given(path: Path) -> Deployable:
    """Open what a user gave as a model: a file, run as its first runtime does by default, or an artifact."""
    if path.is_dir():
        return shipped(path, given_manifest(path))
    return deploy(formats.given(path), RuntimeOptions(threads=usable_cores()))


def stated_options(directory: Path, manifest: Manifest) -> RuntimeOptions:
    """Return how the manifest says to open the model, with no more threads than there are cores.

    Raises ``IntegrityError`` if that makes no sense.
    """
    made_with = ", ".join(f"{name} {version}" for name, version in manifest.runtime_packages.items())
    runtime = runtime_named(manifest.runtime, made_with or None)
    try:
        options: RuntimeOptions = runtime.options.model_validate(manifest.options, strict=True)
    except ValidationError as error:
        raise IntegrityError(
            "the model cannot be opened as the manifest says", where=str(directory / MANIFEST),
            got=first_problem(error), fix="use the mlopt that wrote it, or newer",
        ) from error  # fmt: skip
    cores = usable_cores()
    if options.threads > cores:
        _LOG.warning(
            "%s: it was measured with %d threads, and is opened with the %d that this machine has cores for",
            directory, options.threads, cores,
        )  # fmt: skip
    return options.model_copy(update={"threads": min(options.threads, cores)})
