"""Constants that are stored as sparse tensors: every pass leaves them as they are, and does its work on the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from pass_runs import applied, outputs_of, run_pass
from quantization_models import FLOAT, random, write

from mlopt.artifact.inspection import inspect_model
from mlopt.core.target import Objective
from mlopt.formats.onnx.file import read_graph
from mlopt.passes import fp16, fuse, quantize, simplify

DATA = {"x": random(64, 8)}
FEED = {"x": random(8, 8, seed=1)}
PASSES: dict[str, tuple[Any, dict[str, Any]]] = {
    "simplify": (simplify.PASS, {}), "fuse": (fuse.PASS, {}), "fp16": (fp16.PASS, {}),
    **{mode: (quantize.PASS, {"mode": mode}) for mode in ("static", "dynamic", "weight_only")},
}  # fmt: skip


def model(path: Path, *, opset: int = 17) -> Path:
    """Two products, the first with a sparse matrix, then a Gemm with a sparse bias."""
    nodes = [
        helper.make_node("MatMul", ["x", "sparse"], ["h"], name="first"),
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("MatMul", ["r", "w"], ["y"], name="second"),
        helper.make_node("Gemm", ["y", "v", "bias"], ["z"], name="third"),
    ]
    weights = {"w": random(8, 8, scale=0.3, seed=2), "v": random(8, 8, scale=0.3, seed=3), "sparse": random(8, 8),
               "bias": random(8, seed=4)}  # fmt: skip
    ports = [("x", FLOAT, ["n", 8])], [("y", FLOAT, ["n", 8]), ("z", FLOAT, ["n", 8])]
    write(path, nodes, weights, *ports, opset=opset)
    proto = onnx.load(path)
    for name, stride in (("sparse", 3), ("bias", 2)):
        dense = next(tensor for tensor in proto.graph.initializer if tensor.name == name)
        values = numpy_helper.to_array(dense)
        places = np.arange(0, values.size, stride)
        kept = numpy_helper.from_array(values.reshape(-1)[places], name)
        indices = numpy_helper.from_array(places.astype(np.int64), f"{name}_indices")
        proto.graph.sparse_initializer.append(helper.make_sparse_tensor(kept, indices, list(values.shape)))
        proto.graph.initializer.remove(dense)
    onnx.save(proto, path)
    return path


@pytest.mark.heavy
@pytest.mark.parametrize("name", PASSES)
@pytest.mark.parametrize("opset", [12, 17])
def test_every_pass_leaves_them(name: str, opset: int, tmp_path: Path) -> None:
    source = model(tmp_path / "m.onnx", opset=opset)
    pass_, config = PASSES[name]
    data = DATA if pass_.lossy else None
    result = run_pass(pass_, source, config, tmp_path, calibration=data, samples=DATA, objective=Objective.SIZE)
    path = applied(result).path
    expected, got = outputs_of(source, FEED), outputs_of(path, FEED)
    for key, values in expected.items():
        assert np.linalg.norm(got[key] - values) < (0.06 if pass_.lossy else 1e-5) * np.linalg.norm(values)
    if name == "static":  # raising the opset does not lose them
        assert applied(result).notes["per_channel"]
    assert {tensor.values.name for tensor in read_graph(path).graph.sparse_initializer} == {"sparse", "bias"}


def test_those_that_half_precision_leaves_are_told(tmp_path: Path) -> None:
    source = model(tmp_path / "m.onnx")
    result = run_pass(fp16.PASS, source, {}, tmp_path, calibration=DATA, objective=Objective.SIZE)
    assert applied(result).notes["kept_fp32"] == {
        "first": "constant 'sparse' is stored as a sparse tensor",
        "third": "constant 'bias' is stored as a sparse tensor",
    }


def test_they_are_inspected(tmp_path: Path) -> None:
    assert inspect_model(model(tmp_path / "m.onnx")).operators["MatMul"] == 2
