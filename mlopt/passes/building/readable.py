"""What TensorRT is given to read: the ONNX file, with sizes told apart that have no name of their own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mlopt.formats.model import Model
from mlopt.formats.onnx.file import read_graph
from mlopt.formats.onnx.save import save_model

if TYPE_CHECKING:
    import onnx

_NAME = re.compile(r"[A-Za-z_]\w*( *[-+*/] *\w+)*")
_LAYERS = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm"})


def write_readable(model: Model, path: Path) -> Path:
    """Write the model for the parser, and return where: as it is, if that will do.

    The parser takes two sizes of one name for the same size, and exporters call many unknown ones ``?``.
    """
    proto = read_graph(model.path)
    nameless = [
        (dim, f"{value.name}_{axis}") for value in proto.graph.input
        for axis, dim in enumerate(value.type.tensor_type.shape.dim)
        if dim.WhichOneof("value") == "dim_param" and not _NAME.fullmatch(dim.dim_param)
    ]  # fmt: skip
    if not nameless:
        return model.path
    for dim, name in nameless:
        dim.dim_param = name
    del proto.graph.value_info[:]
    for value in proto.graph.output:
        for dim in value.type.tensor_type.shape.dim:
            if dim.WhichOneof("value") == "dim_param" and not _NAME.fullmatch(dim.dim_param):
                dim.ClearField("dim_param")
    save_model(proto, path, external=len(model.files) > 1, source=model.path.parent)
    return path


def precisions(path: Path) -> dict[str, float]:
    """Return the share of layers that are to be computed in INT8 and in FP16, by what the graph says of their inputs.

    Layers are convolutions and products of matrices. INT8: both factors come out of a DequantizeLinear.
    """
    import onnx

    proto = read_graph(path)
    del proto.graph.value_info[:]
    try:
        graph = onnx.shape_inference.infer_shapes(proto).graph
    except onnx.shape_inference.InferenceError:  # what nothing can be inferred of has the types that it states
        graph = read_graph(path).graph
    makers = {name: node for node in graph.node for name in node.output}
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input)}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    found = Counter(_precision(node, makers, types) for node in graph.node if node.op_type in _LAYERS)
    total = sum(found.values())
    return {name: found[name] / total if total else 0.0 for name in ("int8", "fp16")}


def _precision(node: onnx.NodeProto, makers: Mapping[str, onnx.NodeProto], types: Mapping[str, int]) -> str:
    import onnx

    factors = node.input[:2]
    if all(name in makers and makers[name].op_type == "DequantizeLinear" for name in factors):
        return "int8"
    return "fp16" if any(types.get(name) == onnx.TensorProto.FLOAT16 for name in factors) else "fp32"
