"""What an artifact is made of, and how it comes into being: whole, in one step, its version one above the last.

``mlopt.json`` is the manifest: what each file is, and how the model must be opened to run as it was measured.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from mlopt import __version__
from mlopt.artifact.files import first_problem, is_safe, list_files, parse_json, read_capped, shown
from mlopt.artifact.fixed_to import FixedTo
from mlopt.artifact.workspace import inside, lock_of, new_folder, put, workspace
from mlopt.core.errors import IntegrityError, OutputError
from mlopt.core.foreign_text import as_json
from mlopt.core.locks import locked
from mlopt.formats.model import Kind, Model, TensorSpec

SCHEMA = "mlopt.artifact/v1"
MANIFEST = "mlopt.json"
SIGNATURE = "model.sig"
CLAIMS = "claims.jsonl"
TORCH_FOLDER = "torch"
"""Where the PyTorch model lies that the shipped one was made from, if a pass changed it; nothing here runs it."""
UNSIGNED = frozenset({SIGNATURE, CLAIMS})
"""The only files that stand outside the signature: itself, and statements about the signed whole."""
MAX_MANIFEST_BYTES, MAX_REPORT_BYTES = 1 << 20, 64 << 20

Read = Callable[[Path, str, int], bytes]
"""Reads a file, named relative to a directory, of at most so many bytes; see ``mlopt.artifact.files.read_capped``."""
Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,200}$")]
Hex256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Role(StrEnum):
    """What a file of an artifact is for."""

    MODEL = "model"
    MODEL_DATA = "model-data"
    RECIPE = "recipe"
    REPORT = "report"
    REPORT_PAGE = "report-page"
    SAMPLES = "samples"
    BOM = "bom"
    TORCH = "torch"
    SKETCHES = "sketches"


class ModelEntry(BaseModel):
    """The model inside the artifact: ``digest`` as ``mlopt.formats.model.Model`` computes it."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)  # built with what holds it

    file: Line
    kind: Annotated[Kind, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")]
    digest: Hex256
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    fixed: FixedTo | None = Field(default=None, description="sizes and values of inputs that alone it may be fed with")

    @classmethod
    def of(cls, model: Model, folder: Path) -> Self:
        """Describe ``model``, whose files already lie in ``folder``."""
        file = model.path.relative_to(folder).as_posix()
        return cls(
            file=file, kind=model.kind, digest=model.digest, inputs=model.inputs, outputs=model.outputs,
            fixed=FixedTo.of(model),
        )  # fmt: skip

    @model_serializer(mode="wrap")
    def _as_ever(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave ``fixed`` out where there is none: older readers take no key that they do not know.

        That is as it should be where there is something, as they would not hold feeds against it.
        """
        found: dict[str, Any] = handler(self)
        for spec in (*found["inputs"], *found["outputs"]):
            spec.pop("value", None)
        if found["fixed"] is None:
            del found["fixed"]
        return found


class Content(BaseModel):
    """What the maker of an artifact says about it."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, defer_build=True)

    name: Line
    model: ModelEntry
    runtime: Line
    options: dict[str, JsonValue] = Field(
        description="what was measured; the runtime checks it when it opens the model"
    )
    runtime_packages: dict[Line, Line] = Field(
        default_factory=dict, description="versions of the packages that the runtime takes, where it was measured"
    )
    safe_isa: tuple[Line, ...] | None = Field(
        default=None,
        description="a CPU with any one of these computes the 8-bit weights right; empty: every CPU does; "
        "null: the runtime cannot tell, or it was made before this was looked at",
    )
    verdict: Literal["pass", "fail", "inconclusive"]
    ungated: bool = Field(default=False, description="signed although the gates did not pass")
    files: dict[str, Role] = Field(description="every file but mlopt.json, model.sig and claims.jsonl")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in self.files:
            if not is_safe(name) or name in UNSIGNED | {MANIFEST}:
                raise ValueError(f"files: {shown(name)} is not a name that an artifact may list")
        if [name for name, role in self.files.items() if role is Role.MODEL] != [self.model.file]:
            raise ValueError("files: exactly one file has the role 'model', and it is model.file")
        if any(role is Role.TORCH and not name.startswith(f"{TORCH_FOLDER}/") for name, role in self.files.items()):
            raise ValueError(f"files: what has the role 'torch' lies in {TORCH_FOLDER}/")
        if self.ungated and self.verdict == "pass":
            raise ValueError("ungated: the verdict is 'pass'")
        if list(self.files.values()).count(Role.REPORT) != 1:
            raise ValueError("files: exactly one file has the role 'report'")
        return self

    def file_of(self, role: Role) -> str:
        """Return the name of the first file of this role; there always is a model and a report."""
        return next(name for name, its_role in self.files.items() if its_role is role)


class Manifest(Content):
    """``mlopt.json``: the content, and which version of it this is."""

    schema_: Literal["mlopt.artifact/v1"] = Field(default="mlopt.artifact/v1", alias="schema")
    version: int = Field(ge=1, le=2**53 - 1, description="one above the version that this artifact replaced")
    created: str = Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", description="UTC, ISO 8601")
    mlopt: Line = Field(description="the version of mlopt that wrote it")

    def to_json(self) -> bytes:
        """Return the text of ``mlopt.json``."""
        value = {"schema": SCHEMA, **self.model_dump(mode="json", by_alias=True)}
        return (as_json(value) + "\n").encode()


def read_manifest(directory: Path, read: Read = read_capped) -> Manifest:
    """Read ``mlopt.json`` of an untrusted directory; raises ``IntegrityError`` when it is missing or malformed.

    A well-formed manifest is not yet a trusted one: see ``mlopt.artifact.verify``, whose ``read`` refuses other bytes.
    """
    where = str(directory / MANIFEST)
    if not os.path.lexists(where):
        raise IntegrityError("this is not an mlopt artifact: it has no mlopt.json", where=str(directory))
    data = read(directory, MANIFEST, MAX_MANIFEST_BYTES)
    schema = parse_json(data, where).get("schema")
    if schema != SCHEMA:
        raise IntegrityError(
            "this is not the manifest of an mlopt artifact that this version reads",
            where=where, got=f"schema {shown(schema)}", expected=SCHEMA, fix="use the mlopt that wrote it, or newer",
        )  # fmt: skip
    try:
        return Manifest.model_validate_json(data, strict=True)
    except ValidationError as error:
        raise IntegrityError("the manifest is malformed", where=where, got=first_problem(error)) from error


def check_manifest(directory: Path, content: Content, names: set[str], read: Read = read_capped) -> None:
    """Raise ``IntegrityError`` unless ``names`` are the files that the manifest lists, and its verdict is the report's.

    So what is said of the gates is what the evidence says, before signing and after.
    """
    listed = {*content.files, MANIFEST}
    for name in sorted(listed ^ names):
        what = "a listed file is missing" if name in listed else "a file is not listed in mlopt.json"
        raise IntegrityError(what, where=str(directory), got=shown(name), fix="make the artifact again")
    report = content.file_of(Role.REPORT)
    where = str(directory / report)
    evidence = parse_json(read(directory, report, MAX_REPORT_BYTES), where)
    verdict, gates = evidence.get("verdict"), evidence.get("gates")
    found = [gate.get("verdict") for gate in gates if isinstance(gate, dict)] if isinstance(gates, list) else []
    worst = next((name for name in ("fail", "inconclusive") if name in found), "pass")
    if found and verdict != worst:
        raise IntegrityError(
            "the report's verdict is not that of its gates", where=where,
            got=f"verdict {shown(verdict)}", expected=f"verdict {worst!r}",
        )  # fmt: skip
    if verdict != content.verdict:
        raise IntegrityError(
            "the report and mlopt.json disagree about the gates", where=where,
            got=f"verdict {shown(verdict)}", expected=f"verdict {content.verdict!r}, as mlopt.json says",
        )  # fmt: skip


def check_output(out: Path) -> None:
    """Raise ``OutputError`` unless an artifact can be written at ``out``; to be asked before the long work starts.

    Only an empty directory or an older artifact is ever replaced; files that mlopt did not put there are never deleted.
    """
    target = out.resolve()
    with _os_errors(target):
        _check_place(target)
        if target.exists():
            with locked(lock_of(target), remove=True):
                _old_version(target)


def write(out: Path, fill: Callable[[Path], Content], *, seal: Callable[[Path], object] | None = None) -> Manifest:
    """Make the artifact at ``out`` and return its manifest; on any failure what was there before stands untouched.

    ``fill`` puts the files into an empty directory and says what they are; ``seal`` is called when the manifest lies
    beside them, to sign the whole. Then the new directory takes the place of the old. All of it happens under a lock
    on ``out``, so ``fill`` copies and renders; it does not measure. Raises ``OutputError``.
    """
    with replacing(out) as (new, version):
        manifest = _stamp(fill(new), version + 1)
        (new / MANIFEST).write_bytes(manifest.to_json())
        check_manifest(new, manifest, set(list_files(new)))
        if seal is not None:
            seal(new)
            manifest = read_manifest(new)
    return manifest


@contextmanager
def replacing(out: Path) -> Iterator[tuple[Path, int]]:
    """Give an empty directory that takes the place of ``out`` at the end, and the version of what is there (or 0).

    On any failure what was there before stands untouched. Raises ``OutputError``.
    """
    target = out.resolve()
    with _os_errors(target):
        _check_place(target)
        target.parent.mkdir(parents=True, exist_ok=True)
    with _os_errors(target), workspace(target) as work:
        version = _old_version(target)
        yield new_folder(work), version
        put(work, target)


def _check_place(target: Path) -> None:
    """Refuse what can never be replaced by an artifact; nothing is made, since it may be all that is asked."""
    if not target.name or target.is_file():
        raise OutputError("this cannot become a directory", where=str(target), fix="choose another with -o DIR")
    there = next(folder for folder in target.parents if folder.exists())
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
    if not os.access(there, os.W_OK | os.X_OK):
        raise OutputError("this directory is not writable", where=str(there), fix="choose another with -o DIR")


def _stamp(content: Content, version: int) -> Manifest:
    created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Manifest(**dict(content), version=version, created=created, mlopt=__version__)


def _old_version(target: Path) -> int:
    """Return the version of the artifact at ``target``, 0 if there is none; anything else there is refused."""
    if not target.exists() or not any(target.iterdir()):
        return 0
    try:
        manifest = read_manifest(target)
        foreign = set(list_files(target)) - set(manifest.files) - UNSIGNED - {MANIFEST}
    except IntegrityError as error:
        raise _foreign(target, str(error.problems[0].what)) from error
    if foreign:
        raise _foreign(target, ", ".join(map(shown, sorted(foreign)[:5])))
    return manifest.version


def _foreign(target: Path, got: str) -> OutputError:
    return OutputError(
        "the directory holds something else than an artifact, and is not overwritten",
        where=str(target), got=got, expected="an artifact of mlopt, or an empty or absent directory",
        fix="choose another with -o DIR, or move what is there away",
    )  # fmt: skip


@contextmanager
def _os_errors(target: Path) -> Iterator[None]:
    """Turn a full disk, a missing permission and the like into one clear error."""
    try:
        yield
    except OSError as error:
        blocked = isinstance(error, FileExistsError | NotADirectoryError)
        reason = "a file is in the way of a directory" if blocked else error.strerror
        room = "make room or " if error.errno in {errno.ENOSPC, errno.EDQUOT} else ""
        raise OutputError(
            f"the artifact could not be written: {reason}", where=str(target),
            got=error.filename and inside(target, Path(error.filename)), fix=f"{room}choose another place with -o DIR",
        ) from error  # fmt: skip
