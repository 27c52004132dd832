"""From an artifact on disk to an open model: verified, opened from the private copy, tried, and its limits derived.

All of it blocks, and happens in the one thread that the model then runs in.
"""

from __future__ import annotations

from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from mlopt import report as reports
from mlopt.artifact.layout import Role
from mlopt.artifact.opened import OpenArtifact, opened
from mlopt.artifact.signing.base import Trust
from mlopt.core.errors import IntegrityError, ModelError
from mlopt.protocol.tensors import ProtocolError, datatype_of
from mlopt.results.report import Report
from mlopt.serve.agreement import slack_of
from mlopt.serve.derived import AskedLimits, derive
from mlopt.serve.joining import Joining, joining_of
from mlopt.serve.models import LoadedModel
from mlopt.serve.probe import reason_not_to_join, warm_up


@dataclass(frozen=True)
class Wanted:
    """Which artifact is to be loaded, and what it must be."""

    directory: Path
    trust: Trust | None = None
    digest: str | None = None
    """The only artifact that will do; None takes any that is signed."""
    min_version: int | None = None
    limits: AskedLimits = field(default_factory=AskedLimits)


def load(wanted: Wanted, thread: Executor) -> LoadedModel:
    """Open an artifact; to be called in ``thread``.

    Raises ``IntegrityError`` for an artifact that is not what was signed, or not what is wanted, ``ModelError`` for one
    that cannot be served, and what ``mlopt.artifact.opened`` does.
    """
    with ExitStack() as stack:
        found = stack.enter_context(opened(wanted.directory, wanted.trust, min_version=wanted.min_version))
        _check_digest(found, wanted)
        _check_types(found, wanted)
        manifest = found.verified.manifest
        report = reports.read(found.verified.directory / manifest.file_of(Role.REPORT))
        joining, why_not = _joining(found, report, stated=wanted.limits.max_batch is not None)
        derived = derive(report, wanted.limits, joining is not None)
        outputs = tuple(spec.name for spec in found.session.outputs)
        said = (*((f"not joined {why_not}",) if why_not else ()), *derived.why)
        return LoadedModel(
            name=manifest.name, digest=found.verified.root, version=manifest.version, runtime=found.deployable.runtime,
            inputs=found.session.inputs, outputs=found.session.outputs, directory=found.verified.directory,
            limits=derived.limits, joining=joining,
            slack=slack_of(report.final.fidelity, outputs), said=said, run=found.session.run,
            close=stack.pop_all().close, thread=thread,
        )  # fmt: skip


def _check_digest(found: OpenArtifact, wanted: Wanted) -> None:
    if wanted.digest is not None and found.verified.root != wanted.digest:
        raise IntegrityError(
            "the artifact is another one than what is asked for", where=str(wanted.directory),
            got=f"digest {found.verified.root}", expected=f"digest {wanted.digest}", fix="get the right one",
        )  # fmt: skip


def _check_types(found: OpenArtifact, wanted: Wanted) -> None:
    for spec in (*found.session.inputs, *found.session.outputs):
        try:
            datatype_of(spec.dtype)
        except ProtocolError as error:
            raise ModelError(
                "the protocol cannot carry a tensor of this type", where=str(wanted.directory), got=str(spec),
                fix="export the model with inputs and outputs in float32; inside, it may compute in any type",
            ) from error  # fmt: skip


def _joining(found: OpenArtifact, report: Report, *, stated: bool) -> tuple[Joining | None, str | None]:
    """Return how requests are joined, or None and why they are not."""
    by_shape = joining_of(found.session.inputs, found.session.outputs)
    if isinstance(by_shape, str):
        warm_up(found.session)
        return None, by_shape
    why_not = reason_not_to_join(found.session, by_shape, report.final.fidelity, stated=stated)
    return (by_shape, None) if why_not is None else (None, why_not)
