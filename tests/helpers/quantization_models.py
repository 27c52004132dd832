"""Small graphs that the tests of quantization and of the lossy passes share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
Port = tuple[str, int, Sequence[int | str]]
Weights = Mapping[str, np.ndarray[Any, Any]]


def write(
    path: Path, nodes: Sequence[onnx.NodeProto], weights: Weights, inputs: Sequence[Port], outputs: Sequence[Port],
    *, opset: int = 20, ir: int = 9, weights_are_inputs: bool = False,
) -> Path:  # fmt: skip
    """Write a graph; it is checked, so a test never fails for a broken graph of its own."""
    extra = [helper.make_tensor_value_info(k, FLOAT, v.shape) for k, v in weights.items()] if weights_are_inputs else []
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info(*port) for port in inputs] + extra,
        [helper.make_tensor_value_info(*port) for port in outputs],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def random(*shape: int, scale: float = 1.0, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Normal float32 values, the same in every run."""
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(np.float32)


def cnn(path: Path, *, batch: int | str = "batch", opset: int = 20, weights_are_inputs: bool = False) -> Path:
    """Conv, Relu, Conv, Relu, GlobalAveragePool, Flatten, Gemm: ``image [batch, 3, 8, 8]`` to ``logits [batch, 5]``."""
    node = helper.make_node
    nodes = [
        node("Conv", ["image", "w1", "b1"], ["c1"], name="first", pads=[1, 1, 1, 1]),
        node("Relu", ["c1"], ["r1"]),
        node("Conv", ["r1", "w2"], ["c2"], name="second"),
        node("Relu", ["c2"], ["r2"]),
        node("GlobalAveragePool", ["r2"], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "w3", "b3"], ["logits"], name="head", transB=1),
    ]
    weights = {
        "w1": random(8, 3, 3, 3, seed=1), "b1": random(8, seed=2), "w2": random(16, 8, 3, 3, seed=3),
        "w3": random(5, 16, seed=4), "b3": random(5, seed=5),
    }  # fmt: skip
    return write(
        path, nodes, weights, [("image", FLOAT, [batch, 3, 8, 8])], [("logits", FLOAT, [batch, 5])],
        opset=opset, ir=3 if weights_are_inputs else 8, weights_are_inputs=weights_are_inputs,
    )  # fmt: skip


def encoder(path: Path, *, opset: int = 20) -> Path:
    """An embedding, an offset, two matrix products and a Gemm: ``ids, offset`` to ``y [batch, seq, 4]`` and ``z``."""
    node = helper.make_node
    nodes = [
        node("Gather", ["table", "ids"], ["e"], name="embed"),
        node("Add", ["e", "offset"], ["o"]),
        node("MatMul", ["o", "w1"], ["h"], name="up"),
        node("Tanh", ["h"], ["t"]),
        node("MatMul", ["t", "w2"], ["y"], name="down"),
        node("ReduceMean", ["y", "axis"], ["m"], keepdims=0),
        node("Gemm", ["m", "w3"], ["z"], name="head"),
    ]
    weights = {
        "table": random(100, 16), "w1": random(16, 32, scale=0.3, seed=1), "w2": random(32, 4, scale=0.3, seed=2),
        "w3": random(4, 3, seed=3), "axis": np.array([1], dtype=np.int64),
    }  # fmt: skip
    inputs: list[Port] = [("ids", INT64, ["batch", "seq"]), ("offset", FLOAT, ["batch", "seq", 16])]
    outputs: list[Port] = [("y", FLOAT, ["batch", "seq", 4]), ("z", FLOAT, ["batch", 3])]
    return write(path, nodes, weights, inputs, outputs, opset=opset)


def branching(path: Path) -> Path:
    """A Conv, and an If whose bodies each read the Conv's output; one body has a Conv of its own."""
    node = helper.make_node
    weight = numpy_helper.from_array(random(4, 4, 1, 1, seed=2), "inner_w")
    info = helper.make_tensor_value_info
    then = helper.make_graph(
        [node("Conv", ["c", "inner_w"], ["then_y"], name="inner")], "then", [], [info("then_y", FLOAT, None)], [weight]
    )
    other = helper.make_graph([node("Relu", ["c"], ["else_y"])], "else", [], [info("else_y", FLOAT, None)])
    nodes = [
        node("Conv", ["x", "w"], ["c"], name="outer"),
        node("ReduceSum", ["x"], ["s"], keepdims=0),
        node("Greater", ["s", "zero"], ["positive"]),
        node("If", ["positive"], ["y"], then_branch=then, else_branch=other),
    ]
    weights = {"w": random(4, 3, 1, 1), "zero": np.float32(0).reshape(())}
    return write(path, nodes, weights, [("x", FLOAT, ["batch", 3, 4, 4])], [("y", FLOAT, ["batch", 4, 4, 4])])


def cosine(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    """The cosine between two arrays, flattened."""
    one, other = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
