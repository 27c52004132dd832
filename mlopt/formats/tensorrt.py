"""Engines of TensorRT as a format: an ONNX model with the engines that were built of it in a folder beside it.

An engine runs on the GPUs that it was built for, and nothing but TensorRT says whether it does. The ONNX file is what
answers everywhere else: the runtimes for ONNX open it as any other, it is what is measured where no such GPU is, and it
has the interface. ``engines/engines.json`` says what each engine was built from, by what, and how.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from mlopt.core.errors import ModelError
from mlopt.formats.base import Format
from mlopt.formats.model import TENSORRT, Model, digest_file
from mlopt.formats.onnx.entry import FORMAT as ONNX_FORMAT
from mlopt.formats.onnx.file import open_onnx

if TYPE_CHECKING:
    import onnx

FOLDER = "engines"
DOCUMENT = f"{FOLDER}/engines.json"
_MAX_BYTES = 1 << 20
_REBUILD = "run the recipe again: `mlopt optimize`"

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,300}$")]
Precision = Literal["fp32", "fp16", "int8"]
Shapes = Literal["dynamic", "static"]
Sizes = tuple[Annotated[int, Field(ge=0)], ...]


class Range(BaseModel):
    """The sizes of an input that an engine takes, and those that it is fastest at."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    min: Sizes
    opt: Sizes
    max: Sizes


class Engine(BaseModel):
    """One engine."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    file: Annotated[str, Field(pattern=rf"^{FOLDER}/[a-z0-9_]{{1,32}}\.engine$")]
    target: Annotated[str, Field(pattern=r"^sm[0-9]{2,3}$", description="the compute capability that it is for")]
    precision: Precision | None = Field(
        default=None, description="of most layers; absent in what was built before 2026-12"
    )
    shapes: Shapes | None = Field(default=None, description="static: it takes the first profile's `opt`, and no other")
    source: Digest | None = Field(
        default=None, description="of the ONNX it was built from; absent: the model beside it"
    )
    digest: Digest
    size_bytes: int = Field(ge=1)
    seconds: float = Field(ge=0, description="that it took to build it")


class EngineSet(BaseModel):
    """``engines/engines.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, defer_build=True)

    schema_: Literal["mlopt.engines/v1"] = Field(default="mlopt.engines/v1", alias="schema")
    backend: Literal["tensorrt", "tensorrt_rtx"]
    version: Line | None = Field(description="of the library; an engine is read by this version alone")
    gpu: Line | None = Field(default=None, description="that it was built on, if it was")
    driver: Line | None = Field(default=None, description="the CUDA version of its driver")
    source: Digest = Field(description="of the ONNX model beside them")
    profiles: tuple[dict[Line, Range], ...] = Field(description="of inputs whose sizes vary")
    settings: dict[Line, JsonValue] = Field(description="how they were built")
    reproducible: bool = Field(
        description="whether a second build gives the same bytes: with sizes that vary, it may not"
    )
    measured: bool = Field(description="whether anything ran them here; building shows that they compile, no more")
    engines: tuple[Engine, ...]
    skipped: Line | None = Field(default=None, description="why there is no engine, where the recipe allows that")


def read(path: Path) -> EngineSet:
    """Return what lies beside an ONNX file; raises ``ModelError`` for what mlopt did not write so."""
    file = path.parent / DOCUMENT
    try:
        text = file.read_bytes()
    except OSError as error:
        raise ModelError(
            "the engines' description cannot be read", where=str(file), got=error.strerror, fix=_REBUILD
        ) from error
    try:
        if len(text) > _MAX_BYTES:
            raise ModelError("the engines' description is too large", where=str(file), got=f"{len(text):,} bytes",
                             expected=f"at most {_MAX_BYTES:,}", fix=_REBUILD)  # fmt: skip
        return EngineSet.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ModelError("the engines' description is not one", where=str(file), got=f"{where}: {first['msg']}"[:300],
                         fix=_REBUILD) from error  # fmt: skip


def write(found: EngineSet, folder: Path) -> None:
    """Put the description beside what it describes."""
    text = found.model_dump_json(by_alias=True, indent=2)
    (folder / DOCUMENT).write_text(text + "\n", encoding="utf-8")


def open_engines(path: Path) -> Model:
    """Return the model at ``path``, its ONNX file; raises ``ModelError`` if the engines are not what they were.

    Its digest is that of the description, which has those of the ONNX model and of every engine.
    """
    model, found = open_onnx(path), read(path)
    if found.source != model.digest:
        raise ModelError("the engines were built from another model", where=str(path), got=model.digest,
                         expected=found.source, fix=_REBUILD)  # fmt: skip
    files = []
    for engine in found.engines:
        file = path.parent / engine.file
        if not file.is_file() or file.is_symlink() or digest_file(file) != engine.digest:
            raise ModelError("an engine is not the one that was built", where=str(file), fix=_REBUILD)
        files.append(file)
    carried = (path.parent / DOCUMENT, *files)
    digest = digest_file(carried[0])
    return replace(model, kind=TENSORRT, files=(*model.files, *carried), carried=carried, digest=digest)


def _graph(model: Model) -> onnx.ModelProto:
    assert ONNX_FORMAT.graph is not None  # noqa: S101 - it is the format with one
    return ONNX_FORMAT.graph(model)


FORMAT = Format(
    name=TENSORRT,
    label="a TensorRT",
    suffixes=(),
    main_file=ONNX_FORMAT.main_file,
    open=open_engines,
    beside=("*",),
    check=ONNX_FORMAT.check,
    graph=_graph,
)
