"""The last stage: the artifact with its model, its evidence and its pages, and the signature over all of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from mlopt import __version__, claims
from mlopt import report as reports
from mlopt.artifact import layout
from mlopt.artifact import sign as signing
from mlopt.artifact.files import is_safe, list_files
from mlopt.artifact.layout import CLAIMS, MANIFEST, SIGNATURE, TORCH_FOLDER, Content, ModelEntry, Role
from mlopt.artifact.signing import keys, passphrase
from mlopt.artifact.signing.signers import KeySigner, Signer
from mlopt.claims import bom
from mlopt.core.distribution import DISTRIBUTION
from mlopt.core.errors import ExitCode, ModelError, OutputError, UserError
from mlopt.core.packages import versions
from mlopt.core.usercode import distributions
from mlopt.formats import table as formats
from mlopt.formats.model import TORCH, Model, digest_file
from mlopt.formats.torch import portable
from mlopt.formats.torch.pretrained import folder_of
from mlopt.formats.torch.scripted import scripted_of
from mlopt.measure.figures import RAW
from mlopt.recipe.load import Loaded
from mlopt.recipe.lock import lock, records, resolved
from mlopt.recipe.origin import Origin
from mlopt.report import html, markdown, replaced
from mlopt.results.report import Report
from mlopt.run import scripted
from mlopt.run.outcomes import Outcome
from mlopt.run.pretrained import PACKAGES
from mlopt.run.sketching import NOT_SKETCHED, Sketched
from mlopt.runtimes.base import Deployable
from mlopt.runtimes.table import runtime_named
from mlopt.sketches import SKETCHES

EXIT_CODES = {"pass": ExitCode.OK, "fail": ExitCode.GATE_FAILED, "inconclusive": ExitCode.INCONCLUSIVE}
_PAGES = {RAW: Role.SAMPLES, "recipe.lock.yaml": Role.RECIPE, "report.json": Role.REPORT,
          "report.md": Role.REPORT_PAGE, "report.html": Role.REPORT_PAGE, bom.BOM: Role.BOM}  # fmt: skip
_TAKEN = frozenset((*_PAGES, SKETCHES, MANIFEST, SIGNATURE, CLAIMS, TORCH_FOLDER))
"""What may stand in an artifact, besides the model."""


@dataclass(frozen=True)
class Artifact:
    """What ``optimize`` returns: where the artifact is, and what it is worth."""

    path: Path
    report: Report
    signed: bool
    version: int
    messages: tuple[str, ...]
    took: Mapping[str, float] = field(default_factory=dict)
    """The seconds of each phase of the run, writing this included."""

    @property
    def exit_code(self) -> int:
        """The code of the verdict: 0 passed, 1 failed, 3 inconclusive."""
        return EXIT_CODES[self.report.verdict]


def check_possible(
    output: Path, signer: Signer | None, key: Path | None, *, sign: bool, clobber: bool = True
) -> Signer | None:
    """Raise ``OutputError`` now for what would otherwise fail after the long work: the place, and the key.

    Returns who signs: ``signer``, else the holder of ``key``, else of the user's own; None if there is none yet.
    """
    layout.check_output(output)
    _check_absent(output, clobber=clobber)
    if not sign or signer is not None:
        return signer
    path = key or (keys.user_key_path() if keys.has_user_key() else None)
    made = KeySigner(keys.load_private(path)) if path is not None else None
    passphrase.forget()
    return made


def _check_absent(output: Path, *, clobber: bool) -> None:
    if not clobber and output.is_dir() and any(output.iterdir()):
        raise OutputError(
            "there is an artifact already, and --no-clobber keeps it", where=str(output),
            fix="choose another place with -o DIR, or leave --no-clobber out: then its version is counted on",
        )  # fmt: skip


def origin(
    loaded: Loaded, sources: Mapping[str, str], report: Report, overrides: tuple[str, ...], started: str
) -> Origin:
    """Return what this run read, and what it ran with: mlopt's own libraries, and those that the recipe's Python names.

    ``sources`` are SHA-256 digests by the key that names what was read; ``started`` is in UTC, ISO 8601.
    """
    named = set().union(*(distributions(code.path) for code in loaded.code.values()))
    named |= set(PACKAGES) if folder_of(loaded.recipe.model.source, loaded.base) is not None else set()
    named |= set(scripted.PACKAGES) if scripted_of(loaded.recipe.model.source, loaded.base) is not None else set()
    ran = runtime_named(report.final.runtime).packages
    packages = {**versions((*sorted(named - {"mlopt", DISTRIBUTION}), *ran)), **report.environment.packages}
    return Origin(
        mlopt=__version__, recipe=loaded.text_digest, overrides=overrides, started=started, sources=dict(sources),
        packages=packages, records=records({**packages, DISTRIBUTION: __version__}),
    )  # fmt: skip


def write(
    output: Path, report: Report, shipped: Deployable, *, loaded: Loaded,
    samples: Mapping[str, Sequence[Sequence[float]]], origin: Origin, signer: Signer | None, sign: bool,
    allow_ungated: bool, module: Model | None = None, clobber: bool = True, sketches: Sketched = NOT_SKETCHED,
) -> Artifact:  # fmt: skip
    """Write the artifact in one step; it is signed when the gates passed, or with ``allow_ungated``.

    Without ``signer``, the user's own key signs, made now if need be. ``module`` is the PyTorch model that the shipped
    one was made from; it is kept beside, and so are the ``sketches`` of its data. The messages compare the run with the
    one whose artifact is replaced; without ``clobber`` none is, and ``OutputError`` is raised.
    """
    messages: list[str] = []
    wanted = sign and (report.verdict == "pass" or allow_ungated)
    if sign and not wanted:
        messages.append(f"not signed: the verdict is {report.verdict}; --allow-ungated signs all the same, on record")
    who = (signer or _own(messages)) if wanted else None
    runtime, main_file = runtime_named(shipped.runtime), formats.format_of(shipped.model.kind).main_file
    free = partial(_is_free, main_file)
    if runtime.safe_isa is None:
        messages.append(f"on which CPUs it computes right was not looked at: the runtime {runtime.name} cannot tell")

    def fill(folder: Path) -> Content:
        _check_absent(output, clobber=clobber)
        messages.extend(_compared(output, report))
        packed = formats.copied(shipped.model, folder, free)
        reports.write_samples(samples, folder / RAW)
        reports.write(report, folder / "report.json")
        text = lock(loaded.recipe, origin)
        (folder / "recipe.lock.yaml").write_text(text, encoding="utf-8")
        (folder / "report.md").write_text(markdown.render(report), encoding="utf-8")
        kept = _keep(module, folder, messages)
        kept |= _keep_sketches(sketches, folder, messages)
        page = html.render(report, reports.read_samples(folder / RAW), text)
        (folder / "report.html").write_text(page, encoding="utf-8")
        data = {file.relative_to(folder).as_posix(): Role.MODEL_DATA for file in packed.files[1:]}
        entry = ModelEntry.of(packed, folder)
        bill = bom.render(report, entry, _digests(packed, folder), resolved(loaded.recipe), origin, runtime.packages)
        (folder / bom.BOM).write_text(bill, encoding="utf-8")
        return Content(
            name=report.name, model=entry, runtime=runtime.name, runtime_packages=versions(runtime.packages),
            options=shipped.options.model_dump(mode="json"),
            safe_isa=None if runtime.safe_isa is None else runtime.safe_isa(packed), verdict=report.verdict,
            ungated=False, files={entry.file: Role.MODEL} | _PAGES | data | kept,
        )  # fmt: skip

    seal = None if who is None else partial(_seal, signer=who, allow_ungated=allow_ungated)
    manifest = layout.write(output, fill, seal=seal)
    return Artifact(output, report, who is not None, manifest.version, tuple(messages))


def keep_recipe(loaded: Loaded, output: Path) -> str | None:
    """Write a recipe that was made for a model beside its artifact, to be edited; return what to say of it.

    One that is there already stays: it may have been edited.
    """
    if loaded.draft is None:
        return None
    path = output.with_name(f"{output.name}.yaml")
    text = loaded.draft(path)
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        same = path.is_file() and path.read_bytes() == text.encode()
        return f"recipe    {path}" if same else f"recipe    {path} was there, and stays as it is"
    except OSError as error:
        return f"the recipe was not written: {path}: {error.strerror}"
    return f"recipe    {path}  (made for this model; edit it, and run it: mlopt optimize {path})"


def _compared(output: Path, report: Report) -> Iterator[str]:
    """Compare with the artifact that is about to be replaced, if there is one; its report may be anything."""
    if not (output / MANIFEST).exists():
        return
    version = layout.read_manifest(output).version
    try:
        yield from replaced.told(reports.read(output), report, version)
    except UserError as error:
        yield f"version {version}, which this replaces, cannot be compared: {error.problems[0].what}"


def changed_module(outcomes: Sequence[Outcome], source: Model, final: Model, *, trained: bool = False) -> Model | None:
    """Return the last PyTorch model on the way to what is shipped, if steps changed it and it is not that itself.

    A source that mlopt ``trained`` is one, too: its weights lie in the cache alone.
    """
    made = [each.kept.model for each in outcomes if each.kept is not None]
    last = next((model for model in reversed([source, *made]) if model.kind == TORCH), None)
    there = {final.digest} if trained else {final.digest, source.digest}
    return last if last is not None and last.digest not in there else None


def _keep(module: Model | None, folder: Path, messages: list[str]) -> dict[str, Role]:
    """Put a PyTorch model into the artifact; one that cannot leave its place keeps nothing else from being shipped."""
    if module is None:
        return {}
    target = folder / TORCH_FOLDER
    try:
        portable.write(module, target)
        names = [f"{TORCH_FOLDER}/{name}" for name in list_files(target)]
        odd = next((name for name in names if not is_safe(name)), None)
        reason = None if odd is None else f"an artifact cannot hold a file of the name {odd!a}; rename it"
    except ModelError as error:
        reason = str(error.problems[0])
    if reason is None:
        return dict.fromkeys(names, Role.TORCH)
    shutil.rmtree(target, ignore_errors=True)
    messages.append(f"the PyTorch model is not kept, so `mlopt export-torch` has none: {reason}")
    return {}


def _keep_sketches(sketched: Sketched, folder: Path, messages: list[str]) -> dict[str, Role]:
    messages += filter(None, [sketched.why_not])
    if sketched.document is None:
        return {}
    (folder / SKETCHES).write_bytes(sketched.document)
    return {SKETCHES: Role.SKETCHES}


def _seal(folder: Path, signer: Signer, *, allow_ungated: bool) -> None:
    signing.sign(folder, signer, allow_ungated=allow_ungated)
    claims.attest(folder, signer)


def _own(messages: list[str]) -> Signer:
    own = keys.user_key()
    if own.created:
        messages.append(f"made a signing key of your own: {own.path}; its public half is {keys.public_path(own.path)}")
    return KeySigner(own.private)


def _digests(model: Model, folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each of the model's files."""
    return {file.relative_to(folder).as_posix(): digest_file(file) for file in model.files}


def _is_free(main_file: str, name: str) -> bool:
    """Whether a file of the model may have this name beside its main one: others' names are taken."""
    return is_safe(name) and name.partition("/")[0] not in {*_TAKEN, main_file}
