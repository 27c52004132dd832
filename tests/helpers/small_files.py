"""Small models that ask for much."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT
value = helper.make_tensor_value_info
make = helper.make_node


def constant(name: str, values: object, kind: type = np.int64) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, kind), name)


def saved(
    path: Path, nodes: list[onnx.NodeProto], shape: list[int], held: tuple[onnx.TensorProto, ...] = (),
    functions: tuple[onnx.FunctionProto, ...] = (),
) -> Path:  # fmt: skip
    graph = helper.make_graph(nodes, "g", [value("x", FLOAT, shape)], [value("y", FLOAT, None)], list(held))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=list(functions)), path)
    return path


def function(name: str, *called: str) -> onnx.FunctionProto:
    names = ["x", *(f"t{number}" for number in range(1, len(called))), "y"]
    body = [make(op, [names[k]], [names[k + 1]], domain="f" if op != "Relu" else "") for k, op in enumerate(called)]
    return helper.make_function(
        "f", name, ["x"], ["y"], body, [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]
    )


def doubling(path: Path, depth: int = 40) -> Path:
    chain = (function("d0", "Relu"), *(function(f"d{k}", f"d{k - 1}", f"d{k - 1}") for k in range(1, depth)))
    return saved(path, [make(f"d{depth - 1}", ["x"], ["y"], domain="f")], [1], functions=chain)


def recursive(path: Path) -> Path:
    both = function("a", "b"), function("b", "a")
    return saved(path, [make("a", ["x"], ["y"], domain="f")], [1], functions=both)


def endless(path: Path, rounds: int | None = 2**62) -> Path:
    body = helper.make_graph(
        [make("Identity", ["c"], ["d"]), make("Identity", ["d"], ["co"]), make("Identity", ["v"], ["vo"])], "b",
        [value("i", TensorProto.INT64, []), value("c", TensorProto.BOOL, []), value("v", FLOAT, [1])],
        [value("co", TensorProto.BOOL, []), value("vo", FLOAT, [1])],
    )  # fmt: skip
    held = (constant("t", True, bool), *(() if rounds is None else (constant("n", rounds),)))
    return saved(path, [make("Loop", ["" if rounds is None else "n", "t", "x"], ["y"], body=body)], [1], held)
