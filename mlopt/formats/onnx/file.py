"""Opening an ONNX file without trusting it: its interface, its files, and what makes it unusable, in plain words.

Only the graph is read; tensors in external data files are located and checked, never loaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopt.core.errors import ModelError
from mlopt.formats.filetype import MODEL, told
from mlopt.formats.fixed import Fixed, check
from mlopt.formats.model import ONNX, Model, TensorSpec, digest_file, is_numeric
from mlopt.formats.onnx.bounds import check_bounds
from mlopt.formats.onnx.external_data import external_files
from mlopt.formats.onnx.fixed import no_sense, read_fixed
from mlopt.formats.onnx.graph import with_defaults

if TYPE_CHECKING:
    from collections.abc import Iterable

    import onnx

_FIX = "export or download the model again"
_HEAD = 24
_WEIGHTS_ARE_INPUTS = 3
"""The last IR version at which every weight had to be an input, too."""
_KINDS = {
    "sequence_type": "a sequence", "map_type": "a map", "optional_type": "an optional value",
    "sparse_tensor_type": "a sparse tensor",
}  # fmt: skip
"""What a value of a graph may be instead of a tensor."""


def open_onnx(path: Path) -> Model:
    """Return the model at ``path``; raises ``ModelError`` when it is missing, empty, truncated or unsafe."""
    proto = read_graph(path)
    files = (path, *external_files(path, proto))
    check_bounds(path, proto)
    optional = with_defaults(proto.graph)
    inputs = tuple(_spec(value) for value in proto.graph.input if value.name not in optional)
    defaults = tuple(value.name for value in proto.graph.input if value.name in optional)
    outputs = tuple(_spec(value) for value in proto.graph.output)
    if not outputs:
        raise ModelError("the model has no outputs", where=str(path), fix=_FIX)
    meant = proto.ir_version > _WEIGHTS_ARE_INPUTS
    sizes, values = read_fixed(proto, path)
    return Model(
        ONNX, path, _digest(path, files), _with_values(inputs, values, path), outputs, files=files,
        defaults=defaults if meant else (), sizes=tuple(sizes.items()),
    )  # fmt: skip


def _with_values(inputs: tuple[TensorSpec, ...], values: Mapping[str, Fixed], path: Path) -> tuple[TensorSpec, ...]:
    """Return the inputs with what they are fixed at; raises ``ModelError`` where that cannot be."""
    specs = {spec.name: spec for spec in inputs}
    for name, value in values.items():
        if name not in specs:
            raise no_sense(path, f"no input '{name}', which is said to be fixed")
        try:
            check(value, specs[name].dtype, specs[name].shape)
        except (ValueError, TypeError) as error:
            raise no_sense(path, f"input '{name}': {error}") from error
    return tuple(replace(spec, value=values.get(spec.name)) for spec in inputs)


def _digest(path: Path, files: tuple[Path, ...]) -> str:
    """One file's own SHA-256; with external data that of all files, whatever the graph's file is called."""
    if len(files) == 1:
        return digest_file(path)
    lines = [digest_file(path), *(f"{digest_file(file)}  {file.relative_to(path.parent)}" for file in files[1:])]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def read_graph(path: Path) -> onnx.ModelProto:
    """Read the graph without external tensors."""
    import onnx
    from google.protobuf.message import DecodeError

    if not path.is_file():
        raise ModelError("the model file does not exist", where=str(path), fix="check the path")
    if path.stat().st_size == 0:
        raise ModelError("the model file is empty", where=str(path), got="0 bytes", fix=_FIX)
    try:
        proto = onnx.load(path, format="protobuf", load_external_data=False)  # whatever its suffix is
    except DecodeError as error:
        raise _no_onnx(path) from error
    if not _is_text(proto):
        raise ModelError("a name in the file is not text in UTF-8", where=str(path), fix=_FIX)
    if not proto.graph.node and not proto.graph.output:
        if (kind := told(path)) is not None and kind.name != MODEL:
            raise _no_onnx(path)
        raise ModelError("the file holds no ONNX graph", where=str(path), expected="an ONNX protobuf", fix=_FIX)
    return proto


def _is_text(proto: onnx.ModelProto) -> bool:
    """Whether every name is text: the parser takes other bytes too, and gives them as ``bytes``."""
    import onnx

    waiting: list[Any] = [proto]
    while waiting:
        message = waiting.pop()
        if isinstance(message, onnx.TensorProto):  # its data, which may be large, has no names
            if not all(isinstance(text, str) for text in (message.name, message.doc_string)):
                return False
            waiting += [*message.external_data, *message.metadata_props]
            continue
        for field, value in message.ListFields():
            if field.type == field.TYPE_MESSAGE:
                waiting += _several(value)
            elif field.type == field.TYPE_STRING and not all(isinstance(text, str) for text in _several(value)):
                return False
    return True


def _several(value: Any) -> Iterable[Any]:
    from google.protobuf.message import Message

    return (value,) if isinstance(value, str | bytes | Message) else value


def _no_onnx(path: Path) -> ModelError:
    kind = told(path)
    if kind is not None and kind.name != MODEL:
        return ModelError(f"this is {kind.name}, where a model belongs", where=str(path),
                          expected="an .onnx file (a protobuf), or an artifact", fix=kind.fix)  # fmt: skip
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    return ModelError(
        "this is not a whole ONNX file: it is damaged or cut short, or of another format", where=str(path),
        got=f"{path.stat().st_size} bytes that start with {head!r}", expected="an ONNX protobuf", fix=_FIX,
    )  # fmt: skip


def check_tensors(model: Model) -> None:
    """Raise ``ModelError`` if an input or output is nothing that can be fed or compared as a NumPy array."""
    for spec in (*model.inputs, *model.outputs):
        where = f"{model.path}: '{spec.name}'"
        if spec.dtype in _KINDS:
            raise ModelError(
                "what is no tensor can be neither fed nor compared", where=where,
                got=_KINDS[spec.dtype], expected="tensors",
                fix="convert scikit-learn's models with options={'zipmap': False} (`mlopt optimize` takes ZipMap out); "
                "let others end in tensors (ConcatFromSequence, OptionalGetElement), or cut the node off",
            )  # fmt: skip
        if spec.dtype.startswith("complex"):
            raise ModelError(
                "complex numbers can be neither fed nor compared", where=where, got=spec.dtype,
                expected="real numbers", fix="export the real and the imaginary part as an axis of their own",
            )  # fmt: skip
        if spec.dtype != "string" and not is_numeric(spec.dtype):
            raise ModelError(
                "ONNX Runtime cannot exchange this dtype as a NumPy array", where=where, got=spec.dtype,
                expected="a NumPy dtype", fix="keep inputs and outputs in float32 or float16",
            )  # fmt: skip


def check_ranks(model: Model) -> None:
    """Raise ``ModelError`` for an input whose number of axes is unknown: nothing tells its samples' shape.

    A scalar has a shape without axes, which is not the same as no shape.
    """
    names = {spec.name for spec in model.inputs if not spec.shape}
    for index, value in enumerate(read_graph(model.path).graph.input if names else ()):
        if value.name in names and not value.type.tensor_type.HasField("shape"):
            raise ModelError(
                "the file does not say how many axes an input has", where=f"{model.path}: '{value.name}'",
                got="no shape", expected="a shape; its sizes may be free",
                fix=f"load it with onnx.load, `model.graph.input[{index}].type.tensor_type.shape.CopyFrom("
                f"onnx.helper.make_tensor_type_proto(1, ['batch', 3]).tensor_type.shape)` with the input's own axes, "
                "and onnx.save it",
            )  # fmt: skip


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    import onnx

    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type"):
        return TensorSpec(value.name, value.type.WhichOneof("value") or "unknown", ())
    dtype = "string" if tensor.elem_type == onnx.TensorProto.STRING else _dtype(tensor.elem_type)
    shape = tuple(
        dim.dim_value
        if dim.HasField("dim_value") and dim.dim_value >= 0  # -1 is what PaddlePaddle writes for a free size
        else dim.dim_param or f"{value.name}_{axis}"
        for axis, dim in enumerate(tensor.shape.dim)
    )
    return TensorSpec(value.name, dtype, shape)


def _dtype(elem_type: int) -> str:
    import onnx

    try:
        return str(onnx.helper.tensor_dtype_to_np_dtype(elem_type).name)
    except KeyError:
        return "undefined"
