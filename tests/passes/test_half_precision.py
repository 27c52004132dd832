"""When half precision does not apply, from the graph and the data alone; and what becomes of what was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from pass_runs import PLAIN_X86, dataset, fresh
from quantization_models import FLOAT, branching, cnn, random, write

from mlopt.core.target import Objective, Target
from mlopt.formats.onnx.file import open_onnx
from mlopt.passes.base import Context, PassResult, Refusal
from mlopt.passes.half_precision import objection, run

PORTS = [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])]
X = {"x": random(6, 4)}


def context(tmp_path: Path, **data: Any) -> Context:
    return Context(
        fresh(tmp_path, "out"), Target(), Objective.SIZE, PLAIN_X86,
        **{name: dataset(arrays, tmp_path) for name, arrays in data.items()},
    )  # fmt: skip


def quantized(path: Path) -> Path:
    nodes = [helper.make_node("DequantizeLinear", ["w", "scale"], ["f"]), helper.make_node("MatMul", ["x", "f"], ["y"])]
    weights = {"w": np.ones((4, 4), np.int8), "scale": np.float32(0.1).reshape(())}
    return write(path, nodes, weights, *PORTS)


def test_what_stands_against_it_is_told_before_any_work(tmp_path: Path) -> None:
    relu = write(tmp_path / "r.onnx", [helper.make_node("Relu", ["x"], ["y"])], {}, *PORTS)
    for path, reason in (
        (branching(tmp_path / "b.onnx"), "what happens inside If cannot be observed"),
        (quantized(tmp_path / "q.onnx"), "the model is quantized already: it has DequantizeLinear"),
        (relu, "nothing to convert: the graph has no float32 constants"),
    ):
        assert reason in str(objection(open_onnx(path), context(tmp_path, samples=X)))


def test_samples_of_either_kind_will_do_and_none_will_not(tmp_path: Path) -> None:
    model = open_onnx(cnn(tmp_path / "m.onnx"))
    assert objection(model, context(tmp_path, samples=X)) is None
    assert objection(model, context(tmp_path, calibration=X)) is None
    assert "name data.calibration, or pass --data" in str(objection(model, context(tmp_path)))


def test_a_graph_is_looked_at_before_data_is_asked_for(tmp_path: Path) -> None:
    assert "quantized already" in str(objection(open_onnx(quantized(tmp_path / "q.onnx")), context(tmp_path)))


@pytest.mark.parametrize("calibrated", [True, False])
def test_the_calibration_goes_before_the_samples(tmp_path: Path, calibrated: bool) -> None:
    given = context(tmp_path, samples={"x": random(2, 4)}, **({"calibration": X} if calibrated else {}))
    seen = []

    def written(data: Any, path: Path) -> dict[str, int]:
        seen.append(data.count)
        onnx.save(onnx.ModelProto(), path)
        return {"converted": 1}

    result = run(given, written)
    assert isinstance(result, PassResult)
    assert (result.path, result.notes) == (given.out / "model.onnx", {"converted": 1})
    assert seen == [6 if calibrated else 2]


def test_a_reason_instead_of_facts_is_a_refusal(tmp_path: Path) -> None:
    assert run(context(tmp_path, samples=X), lambda *_: "all must stay") == Refusal("all must stay")
    assert isinstance(run(context(tmp_path), pytest.fail), Refusal)


def test_integers_alone_are_no_float_constants(tmp_path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
    path = write(tmp_path / "i.onnx", nodes, {"shape": np.array([-1, 4])}, *PORTS)
    assert {tensor.data_type for tensor in onnx.load(path).graph.initializer} == {TensorProto.INT64}
    assert "nothing to convert" in str(objection(open_onnx(path), context(tmp_path, samples=X)))
