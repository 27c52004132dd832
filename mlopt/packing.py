"""The last stage: the artifact with its model, its evidence and its pages, and the signature over all of it."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from mlopt import __version__, claims
from mlopt import report as reports
from mlopt.artifact import keys, layout, passphrase
from mlopt.artifact import sign as signing
from mlopt.artifact.files import first_problem, is_safe
from mlopt.artifact.layout import CLAIMS, MANIFEST, SIGNATURE, Content, Manifest, ModelEntry, Role
from mlopt.artifact.signers import KeySigner, Signer
from mlopt.claims import bom
from mlopt.errors import ExitCode, IntegrityError, ModelError
from mlopt.hardware import INT8_DOT, usable_cores
from mlopt.measure.figures import RAW
from mlopt.model import Model, digest_file
from mlopt.onnx_file import open_onnx, read_graph
from mlopt.onnx_graph import EXTERNAL_DATA_ABOVE
from mlopt.onnx_int8 import overflow
from mlopt.onnx_save import save_model
from mlopt.packages import versions
from mlopt.recipe.load import Loaded
from mlopt.recipe.lock import lock, records, resolved
from mlopt.recipe.origin import Origin
from mlopt.report import html, markdown
from mlopt.report.schema import Report
from mlopt.runtimes import runtime_for
from mlopt.runtimes.base import RuntimeOptions
from mlopt.usercode import distributions

_LOG = logging.getLogger(__name__)
EXIT_CODES = {"pass": ExitCode.OK, "fail": ExitCode.GATE_FAILED, "inconclusive": ExitCode.INCONCLUSIVE}
_PAGES = {"model.onnx": Role.MODEL, RAW: Role.SAMPLES, "recipe.lock.yaml": Role.RECIPE, "report.json": Role.REPORT,
          "report.md": Role.REPORT_PAGE, "report.html": Role.REPORT_PAGE, bom.BOM: Role.BOM}  # fmt: skip
_TAKEN = frozenset((*_PAGES, MANIFEST, SIGNATURE, CLAIMS))
"""What stands in every artifact."""


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


def check_possible(output: Path, signer: Signer | None, key: Path | None, *, sign: bool) -> Signer | None:
    """Raise ``OutputError`` now for what would otherwise fail after the long work: the place, and the key.

    Returns who signs: ``signer``, else the holder of ``key``, else of the user's own; None if there is none yet.
    """
    layout.check_output(output)
    if not sign or signer is not None:
        return signer
    path = key or (keys.user_key_path() if keys.has_user_key() else None)
    made = KeySigner(keys.load_private(path)) if path is not None else None
    passphrase.forget()
    return made


def origin(
    loaded: Loaded, sources: Mapping[str, str], report: Report, overrides: tuple[str, ...], started: str
) -> Origin:
    """Return what this run read, and what it ran with: mlopt's own libraries, and those that the recipe's Python names.

    ``sources`` are SHA-256 digests by the key that names what was read; ``started`` is in UTC, ISO 8601.
    """
    named = set().union(*(distributions(code.path) for code in loaded.code.values()))
    packages = {**versions(tuple(sorted(named - {"mlopt"}))), **report.environment.packages}
    return Origin(
        mlopt=__version__, recipe=loaded.text_digest, overrides=overrides, started=started, sources=dict(sources),
        packages=packages, records=records({**packages, "mlopt": __version__}),
    )  # fmt: skip


def write(
    output: Path, report: Report, model: Model, options: RuntimeOptions, *, loaded: Loaded,
    samples: Mapping[str, Sequence[Sequence[float]]], origin: Origin, signer: Signer | None, sign: bool,
    allow_ungated: bool,
) -> Artifact:  # fmt: skip
    """Write the artifact in one step; it is signed when the gates passed, or with ``allow_ungated``.

    Without ``signer``, the user's own key signs, made now if need be.
    """
    messages: list[str] = []
    wanted = sign and (report.verdict == "pass" or allow_ungated)
    if sign and not wanted:
        messages.append(f"not signed: the verdict is {report.verdict}; --allow-ungated signs all the same, on record")
    who = (signer or _own(messages)) if wanted else None

    def fill(folder: Path) -> Content:
        packed = _copy(model, folder)
        reports.write_samples(samples, folder / RAW)
        reports.write(report, folder / "report.json")
        text = lock(loaded.recipe, origin)
        (folder / "recipe.lock.yaml").write_text(text, encoding="utf-8")
        (folder / "report.md").write_text(markdown.render(report), encoding="utf-8")
        page = html.render(report, reports.read_samples(folder / RAW), text)
        (folder / "report.html").write_text(page, encoding="utf-8")
        data = {file.relative_to(folder).as_posix(): Role.MODEL_DATA for file in packed.files[1:]}
        entry = ModelEntry.of(packed, folder)
        bill = bom.render(report, entry, _digests(packed, folder), resolved(loaded.recipe), origin)
        (folder / bom.BOM).write_text(bill, encoding="utf-8")
        return Content(
            name=report.name, model=entry, runtime=runtime_for(packed.kind).name,
            options=options.model_dump(mode="json"), safe_isa=_safe_isa(packed), verdict=report.verdict,
            ungated=False, files=_PAGES | data,
        )  # fmt: skip

    seal = None if who is None else partial(_seal, signer=who, allow_ungated=allow_ungated)
    manifest = layout.write(output, fill, seal=seal)
    return Artifact(output, report, who is not None, manifest.version, tuple(messages))


def _safe_isa(model: Model) -> tuple[str, ...]:
    """Return the instruction sets of which one is needed to compute the model right without further ado."""
    return tuple(sorted(INT8_DOT)) if overflow(model.path).layers else ()


def _seal(folder: Path, signer: Signer, *, allow_ungated: bool) -> None:
    signing.sign(folder, signer, allow_ungated=allow_ungated)
    claims.attest(folder, signer)


def _own(messages: list[str]) -> Signer:
    own = keys.user_key()
    if own.created:
        messages.append(f"made a signing key of your own: {own.path}; its public half is {keys.public_path(own.path)}")
    return KeySigner(own.private)


def _digests(model: Model, folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each of the model's files; of a single file, that is the model's digest."""
    if len(model.files) == 1:
        return {model.path.name: model.digest}
    return {file.relative_to(folder).as_posix(): digest_file(file) for file in model.files}


def _copy(model: Model, folder: Path) -> Model:
    """Copy the model as ``model.onnx``; external data keeps names that an artifact can hold, since the graph has them.

    Data under any other name go into the graph's own file or, if that would be too large, into ``model.onnx.data``.
    """
    names = [file.relative_to(model.path.parent).as_posix() for file in model.files[1:]]
    if all(is_safe(name) and name.partition("/")[0] not in _TAKEN for name in names):
        copy = _copy_files(model, names, folder)
    else:
        large = model.size_bytes > EXTERNAL_DATA_ABOVE
        save_model(read_graph(model.path), folder / "model.onnx", external=large, source=model.path.parent)
        copy = open_onnx(model.path)
    if copy.digest != model.digest:
        raise ModelError("the model changed after it was measured", where=str(model.path), fix="run it again")
    return open_onnx(folder / "model.onnx")


def _copy_files(model: Model, names: Sequence[str], folder: Path) -> Model:
    shutil.copyfile(model.path, folder / "model.onnx")
    for name in names:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(model.path.parent / name, target)
    return open_onnx(folder / "model.onnx")


def stated_options(directory: Path, manifest: Manifest) -> RuntimeOptions:
    """Return how the manifest says to open the model, with no more threads than there are cores.

    Raises ``IntegrityError`` if that makes no sense.
    """
    try:
        options = RuntimeOptions.model_validate(manifest.options, strict=True)
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
