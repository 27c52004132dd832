"""An artifact that is to be served: what of it an engine needs, after it was verified, and whether that can be done."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from mlopt.artifact.files import first_problem
from mlopt.artifact.layout import Manifest, Role
from mlopt.artifact.verify import Verified
from mlopt.core.errors import IntegrityError, UserError
from mlopt.deploy.derived import Goal, ServingSettings, derive
from mlopt.formats.model import TensorSpec
from mlopt.results.report import Report
from mlopt.runtimes.base import RuntimeOptions
from mlopt.runtimes.table import runtime_named

RUNTIMES = ("onnxruntime", "openvino")
"""What the code that is written can open."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_MODEL_ROLES = frozenset({Role.MODEL, Role.MODEL_DATA})
_EXCHANGED = frozenset({
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64",
    "string",
})  # fmt: skip


@dataclass(frozen=True)
class ServedContent:
    """One verified model under the name that it has in URLs, with how it is to be served."""

    name: str
    verified: Verified
    report: Report
    options: RuntimeOptions
    settings: ServingSettings

    @property
    def manifest(self) -> Manifest:
        """What the artifact says of itself."""
        return self.verified.manifest

    @property
    def version(self) -> int:
        """The artifact's version, which is the one in URLs."""
        return self.manifest.version

    @property
    def digest(self) -> str:
        """What identifies all that was signed: the answers carry it."""
        return self.verified.root

    @property
    def files(self) -> Mapping[str, str]:
        """The SHA-256 of each file that makes up the model, by its name in the artifact."""
        return {name: self.verified.files[name] for name, role in self.manifest.files.items() if role in _MODEL_ROLES}

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What it is fed with."""
        return self.manifest.model.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What it answers."""
        return self.manifest.model.outputs

    @property
    def measured_with(self) -> Mapping[str, str]:
        """The versions of packages that it was measured with."""
        return {**self.report.environment.packages, **self.manifest.runtime_packages}

    @property
    def batches(self) -> bool:
        """Whether samples of several requests can be joined."""
        return joinable(self.manifest, self.options)

    def described(self) -> dict[str, Any]:
        """Return ``deployment.json``: all that the code which opens the model goes by."""
        manifest, fixed = self.manifest, self.manifest.model.fixed
        return {
            "schema": "mlopt.deployment/v1", "name": self.name, "version": str(self.version), "digest": self.digest,
            "artifact": manifest.name, "signer": self.verified.signer, "verdict": manifest.verdict,
            "ungated": manifest.ungated, "runtime": manifest.runtime, "packages": dict(manifest.runtime_packages),
            "options": self.options.model_dump(mode="json") | _all_of(self.options), "file": manifest.model.file,
            "files": dict(self.files), "inputs": [spec.as_dict() for spec in self.inputs],
            "outputs": [spec.as_dict() for spec in self.outputs], "batches": self.batches,
            "fixed": {} if fixed is None else dict(fixed.inputs), "safe_isa": list(manifest.safe_isa or ()),
        }  # fmt: skip


def _all_of(options: RuntimeOptions) -> dict[str, Any]:
    """Return every option, those that are as by default as well: nothing is left to whoever reads it."""
    return {name: getattr(options, name) for name in type(options).model_fields}


def served(verified: Verified, report: Report, goal: Goal, name: str | None = None) -> ServedContent:
    """Return a verified model as it is to be served, by its report; ``name`` is the one in URLs, if not its own.

    Raises ``UserError`` for one that no engine here can serve, ``IntegrityError`` as ``options_of`` does.
    """
    options = options_of(verified)
    settings = derive(report, threads=options.threads, batches=joinable(verified.manifest, options), goal=goal)
    return ServedContent(checked_name(name or verified.manifest.name), verified, report, options, settings)


def joinable(manifest: Manifest, options: RuntimeOptions) -> bool:
    """Whether requests can be joined along a first axis that all inputs and outputs have, of any size."""
    return why_apart(manifest, options) is None


def why_apart(manifest: Manifest, options: RuntimeOptions) -> str | None:
    """Return why requests cannot be joined along a first axis; None if they can.

    Not where OpenVINO compiles for each size that it meets: every size of a batch would take it a moment.
    """
    specs = (*manifest.model.inputs, *manifest.model.outputs)
    first = {spec.shape[0] if spec.shape else None for spec in specs}
    if len(first) != 1 or not isinstance(next(iter(first)), str):
        return "its inputs and outputs have no first axis of any size in common"
    if manifest.model.fixed is not None and manifest.model.fixed.inputs:
        return "it was made for one value of an input"
    if getattr(options, "shapes", "dynamic") != "dynamic":
        return "with `shapes: static` it is compiled for each size of a batch"
    return None


def checked_name(name: str) -> str:
    """Return a model's name if URLs, folders and labels can carry it; raises ``UserError``."""
    if not _NAME.fullmatch(name) or ".." in name:
        raise UserError(
            "this name cannot stand in a URL", got=repr(name[:80]),
            expected="letters, digits, '_', '.' and '-', at most 63", fix="give it another: NAME=ARTIFACT",
        )  # fmt: skip
    return name


def options_of(verified: Verified) -> RuntimeOptions:
    """Return how the model is opened, as measured, whatever machine this is.

    Raises ``UserError`` for what the written code cannot open, ``IntegrityError`` for options that make no sense.
    """
    manifest, where = verified.manifest, verified.manifest.name
    if manifest.runtime not in RUNTIMES:
        raise UserError(
            "no engine here is written for this runtime", where=where, got=manifest.runtime,
            expected=" or ".join(RUNTIMES), fix="make the artifact with `target: {runtime: onnxruntime}`",
        )  # fmt: skip
    try:
        options: RuntimeOptions = runtime_named(manifest.runtime).options.model_validate(manifest.options, strict=True)
    except ValidationError as error:
        raise IntegrityError(
            "the model cannot be opened as the manifest says", where=where, got=first_problem(error),
            fix="use the mlopt that wrote it, or newer",
        ) from error  # fmt: skip
    if options.device != "cpu":
        raise UserError(
            "deployments are written for the CPU", where=where, got=f"device {options.device}",
            fix="make the artifact with `target: {device: cpu}`",
        )  # fmt: skip
    _check_exchanged(manifest, where)
    return options


def _check_exchanged(manifest: Manifest, where: str) -> None:
    for spec in (*manifest.model.inputs, *manifest.model.outputs):
        if spec.dtype not in _EXCHANGED:
            raise UserError(
                "the protocol of these servers has no such type", where=where, got=f"{spec.name}: {spec.dtype}",
                expected=", ".join(sorted(_EXCHANGED)), fix="give the model inputs and outputs of those types",
            )  # fmt: skip
