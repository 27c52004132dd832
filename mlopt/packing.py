"""The last stage: the artifact with its model, its evidence and its pages, and the signature over all of it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mlopt import report as reports
from mlopt.artifact import keys, layout
from mlopt.artifact import sign as signing
from mlopt.artifact.files import is_safe
from mlopt.artifact.layout import Content, ModelEntry, Role
from mlopt.artifact.signers import KeySigner
from mlopt.errors import ExitCode, ModelError
from mlopt.evidence import RAW
from mlopt.model import Kind, Model
from mlopt.onnx_file import open_onnx
from mlopt.recipe.load import Loaded
from mlopt.recipe.lock import lock
from mlopt.report import html, markdown
from mlopt.report.schema import Report
from mlopt.runtimes import runtime_for
from mlopt.runtimes.base import RuntimeOptions

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

EXIT_CODES = {"pass": ExitCode.OK, "fail": ExitCode.GATE_FAILED, "inconclusive": ExitCode.INCONCLUSIVE}
_PAGES = {"model.onnx": Role.MODEL, RAW: Role.SAMPLES, "recipe.lock.yaml": Role.RECIPE, "report.json": Role.REPORT,
          "report.md": Role.REPORT_PAGE, "report.html": Role.REPORT_PAGE}  # fmt: skip


@dataclass(frozen=True)
class Artifact:
    """What ``optimize`` returns: where the artifact is, and what it is worth."""

    path: Path
    report: Report
    signed: bool
    version: int
    messages: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """The code of the verdict: 0 passed, 1 failed, 3 inconclusive."""
        return EXIT_CODES[self.report.verdict]


def check_possible(output: Path, key: Path | None, *, sign: bool) -> None:
    """Raise ``OutputError`` now for what would otherwise fail after the long work: the place, and the key."""
    layout.check_output(output)
    if sign and key is not None:
        keys.load_private(key)


def check_names(model: Model) -> None:
    """Raise ``ModelError`` if an external data file has a name that an artifact cannot hold."""
    for file in model.files[1:]:
        name = file.relative_to(model.path.parent).as_posix()
        if model.kind is Kind.ONNX and (not is_safe(name) or name in _PAGES):
            raise ModelError(
                "an artifact cannot hold an external data file of this name", where=str(model.path), got=name,
                expected="letters, digits and _.+=@- only", fix="save the model again with its data in model.onnx.data",
            )  # fmt: skip


def write(
    output: Path, report: Report, model: Model, options: RuntimeOptions, loaded: Loaded,
    samples: Mapping[str, Sequence[Sequence[float]]], digests: Mapping[str, str], *, key: Path | None, sign: bool,
    allow_ungated: bool,
) -> Artifact:  # fmt: skip
    """Write the artifact in one step; it is signed when the gates passed, or with ``allow_ungated``."""
    messages: list[str] = []
    wanted = sign and (report.verdict == "pass" or allow_ungated)
    if sign and not wanted:
        messages.append(f"not signed: the verdict is {report.verdict}; --allow-ungated signs all the same, on record")
    private = _private_key(key, messages) if wanted else None

    def fill(folder: Path) -> Content:
        packed = _copy(model, folder)
        reports.write_samples(samples, folder / RAW)
        reports.write(report, folder / "report.json")
        text = lock(loaded, digests, report.environment.packages)
        (folder / "recipe.lock.yaml").write_text(text, encoding="utf-8")
        (folder / "report.md").write_text(markdown.render(report), encoding="utf-8")
        page = html.render(report, reports.read_samples(folder / RAW), text)
        (folder / "report.html").write_text(page, encoding="utf-8")
        data = {file.relative_to(folder).as_posix(): Role.MODEL_DATA for file in packed.files[1:]}
        return Content(
            name=report.name, model=ModelEntry.of(packed, folder), runtime=runtime_for(packed.kind).name,
            options=options.model_dump(mode="json"), verdict=report.verdict, ungated=False, files=_PAGES | data,
        )  # fmt: skip

    seal = None if private is None else partial(signing.sign, signer=KeySigner(private), allow_ungated=allow_ungated)
    manifest = layout.write(output, fill, seal=seal)
    return Artifact(output, report, private is not None, manifest.version, tuple(messages))


def _private_key(key: Path | None, messages: list[str]) -> EllipticCurvePrivateKey:
    if key is not None:
        return keys.load_private(key)
    own = keys.user_key()
    if own.created:
        messages.append(f"made a signing key of your own: {own.path}; its public half is {keys.public_path(own.path)}")
    return own.private


def _copy(model: Model, folder: Path) -> Model:
    """Copy the model as ``model.onnx``; external data keeps its names, which the graph holds."""
    shutil.copyfile(model.path, folder / "model.onnx")
    for file in model.files[1:]:
        target = folder / file.relative_to(model.path.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    return open_onnx(folder / "model.onnx")
