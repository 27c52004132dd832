"""Small signed artifacts to serve: versions of one model that look words up, one that is slow, one that mixes rows."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import predicted
from onnx import TensorProto, helper, numpy_helper

WIDE, DEEP = 1200, 16


def _saved(graph: onnx.GraphProto, path: Path) -> Path:
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def _floats(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def words_times(times: float) -> Callable[[Path], Path]:
    """Return what writes a model that looks ``ids`` up in the table of ``predicted``, every value so many times."""

    def save(path: Path) -> Path:
        graph = helper.make_graph(
            [helper.make_node("Gather", ["table", "ids"], ["embedding"])], "words",
            [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", predicted.TOKENS])],
            [_floats("embedding", "batch", predicted.TOKENS, predicted.WIDTH)],
            [numpy_helper.from_array(predicted.TABLE * np.float32(times), "table")],
        )  # fmt: skip
        return _saved(graph, path)

    return save


def slow(path: Path) -> Path:
    """Write a model that takes milliseconds for a row."""
    draw = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(draw.standard_normal(shape).astype(np.float32) / np.float32(shape[0] ** 0.5), name)
        for name, shape in (("into", (2, WIDE)), ("across", (WIDE, WIDE)), ("out", (WIDE, 2)))
    ]  # fmt: skip
    names = ["x", *(f"h{layer}" for layer in range(DEEP + 1)), "y"]
    used = ["into", *["across"] * DEEP, "out"]
    nodes = [
        helper.make_node("MatMul", [before, weight], [after])
        for before, weight, after in zip(names, used, names[1:], strict=False)
    ]
    return _saved(
        helper.make_graph(nodes, "slow", [_floats("x", "batch", 2)], [_floats("y", "batch", 2)], weights), path
    )


def over_rows(path: Path) -> Path:
    """Write a model whose first axis looks like a batch and is time: each row is the sum of those before it."""
    zero = numpy_helper.from_array(np.array(0, np.int64), "zero")
    node = helper.make_node("CumSum", ["x", "zero"], ["y"])
    return _saved(helper.make_graph([node], "rows", [_floats("x", "n", 2)], [_floats("y", "n", 2)], [zero]), path)


def fixed(path: Path) -> Path:
    """Write a model of one row."""
    node = helper.make_node("Add", ["x", "x"], ["y"])
    return _saved(helper.make_graph([node], "fixed", [_floats("x", 1, 2)], [_floats("y", 1, 2)]), path)


def versions(folder: Path, *times: float, name: str = "words") -> list[Path]:
    """Write one artifact for each factor, of one model, with version numbers from 1 on."""
    found: list[Path] = []
    for number, factor in enumerate(times, 1):
        place = folder / str(number) / name
        if found:
            shutil.copytree(found[-1], place)  # what is written over an artifact is its next version
        else:
            place.parent.mkdir(parents=True)
        found.append(predicted.artifact(place, words_times(factor)))
    return found
