"""The advice to simplify first: where it is true, and only there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from pass_runs import applied, run_pass
from quantization_models import FLOAT, random, write

from mlopt.core.target import Objective
from mlopt.formats.onnx.file import read_graph
from mlopt.passes import fp16, quantize, simplify
from mlopt.passes.base import Refusal

X = {"x": random(6, 4)}
HINT = "; after `simplify` it would apply: put that pass before it"
NODE = helper.make_node


def refused(path: Path, pass_: Any, config: dict[str, Any], folder: Path) -> str:
    result = run_pass(pass_, path, config, folder, calibration=X, objective=Objective.SIZE)
    assert isinstance(result, Refusal)
    return result.reason


@pytest.mark.parametrize(
    ("before", "constants"),
    [
        ([NODE("Identity", ["c"], ["w"])], {"c": random(4, 4)}),
        ([NODE("Transpose", ["c"], ["t"]), NODE("Identity", ["t"], ["w"])], {"c": random(4, 4)}),
        ([NODE("Reshape", ["c", "s"], ["w"])], {"c": random(16), "s": np.array([4, 4])}),
        ([NODE("Cast", ["c"], ["w"], to=TensorProto.FLOAT)], {"c": random(4, 4).astype(np.float16)}),
        ([NODE("Cast", ["c"], ["w"], to=TensorProto.FLOAT)], {"c": random(4, 4).astype(np.float64)}),
        ([NODE("Mul", ["c", "c"], ["w"])], {"c": random(4, 4)}),
    ],
)
@pytest.mark.parametrize("mode", ["static", "dynamic", "weight_only", "auto"])
def test_weights_that_simplify_makes_constants(before: Any, constants: Any, mode: str, tmp_path: Path) -> None:
    nodes = [*before, NODE("MatMul", ["x", "w"], ["y"])]
    path = write(tmp_path / "m.onnx", nodes, constants, [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])])
    reason = refused(path, quantize.PASS, {"mode": mode}, tmp_path)
    assert reason.startswith("nothing to quantize: ")
    assert reason.endswith(HINT)
    if mode == "dynamic":  # and so it is
        simplified = applied(run_pass(simplify.PASS, path, {}, tmp_path)).path
        assert applied(run_pass(quantize.PASS, simplified, {"mode": mode}, tmp_path)).notes["quantized"] == 1


def test_not_where_the_weight_is_computed_from_the_input(tmp_path: Path) -> None:
    nodes = [NODE("Transpose", ["x"], ["t"]), NODE("MatMul", ["x", "t"], ["y"]), NODE("Mul", ["c", "c"], ["unread"])]
    path = write(tmp_path / "m.onnx", nodes, {"c": random(4)}, [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", "n"])])
    assert refused(path, quantize.PASS, {"mode": "dynamic"}, tmp_path).endswith("reads constant float32 weights")


def test_not_where_integers_stay_integers(tmp_path: Path) -> None:
    nodes = [NODE("DequantizeLinear", ["q", "s"], ["w"]), NODE("MatMul", ["x", "w"], ["y"])]
    constants: dict[str, Any] = {"q": np.ones((4, 4), np.int8), "s": np.float32(0.5)}
    path = write(tmp_path / "m.onnx", nodes, constants, [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])])
    told = refused(path, quantize.PASS, {"mode": "dynamic"}, tmp_path)
    assert told == "the model is quantized already: it has DequantizeLinear"


def test_a_branch_that_is_known_is_no_hindrance_to_half_precision(tmp_path: Path) -> None:
    def body(name: str, op_type: str) -> Any:
        made = helper.make_tensor_value_info(name, FLOAT, ["n", 4])
        return helper.make_graph([NODE(op_type, ["h"], [name])], name, [], [made])

    nodes = [NODE("MatMul", ["x", "w"], ["h"]),
             NODE("If", ["yes"], ["y"], then_branch=body("a", "Relu"), else_branch=body("b", "Neg"))]  # fmt: skip
    ports = [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])]
    known = write(tmp_path / "known.onnx", nodes, {"w": random(4, 4), "yes": np.array(True)}, *ports)
    told = refused(known, fp16.PASS, {}, tmp_path)
    assert told.startswith("what happens inside If cannot be observed")
    simplified = read_graph(applied(run_pass(simplify.PASS, known, {}, tmp_path)).path).graph
    assert told.endswith(HINT)
    assert all(node.op_type != "If" for node in simplified.node)


@pytest.mark.parametrize("kind", ["float16", "float64"])
def test_weights_of_another_type_are_named(kind: str, tmp_path: Path) -> None:
    elem_type = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    nodes = [NODE("Cast", ["x"], ["h"], to=elem_type), NODE("MatMul", ["h", "w"], ["m"]),
             NODE("Cast", ["m"], ["y"], to=TensorProto.FLOAT)]  # fmt: skip
    constants = {"w": random(4, 4).astype(kind)}
    path = write(tmp_path / "m.onnx", nodes, constants, [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])])
    ending = f"; there are weights in {kind}: give the model in float32 (of PyTorch: `model.float()` before the export)"
    assert refused(path, quantize.PASS, {"mode": "dynamic"}, tmp_path).endswith(ending)
    assert refused(path, fp16.PASS, {}, tmp_path).endswith(ending)
