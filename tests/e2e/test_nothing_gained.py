"""A run in which no step could do anything ends well, with its source as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from small_graphs import BRIEFLY

from mlopt import optimize
from mlopt.formats.onnx.file import open_onnx
from mlopt.report import outcome

RECIPE = """
apiVersion: mlopt/v1
name: relu
model: {source: ./relu.onnx}
data:
  calibration: {source: ./x.npz, split: [0.0, 0.5]}
  evaluation: {source: ./x.npz, split: [0.5, 1.0]}
metric: {name: fidelity}
passes: [quantize: {optional: true}]
gates:
  - {metric: fidelity.cosine, min: 0.99}
  - {metric: speedup.median, min: LEAST, vs: onnx_fp32}
"""


@pytest.mark.parametrize(("least", "code"), [(1.0, 0), (1.2, 1)])
def test_the_source_is_shipped_and_what_was_tried_is_said(tmp_path: Path, least: float, code: int) -> None:
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", tensors[:1], tensors[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, tmp_path / "relu.onnx")
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32))
    (tmp_path / "r.yaml").write_text(RECIPE.replace("LEAST", str(least)))
    made = optimize(tmp_path / "r.yaml", output=tmp_path / "out", overrides=BRIEFLY, sign=False)
    assert made.exit_code == code
    assert open_onnx(made.path / "model.onnx").digest == open_onnx(tmp_path / "relu.onnx").digest
    assert made.report.speedup.median == 1.0
    told = outcome.headline(made.report)
    assert told.startswith("Nothing that was tried helped, so the result is onnx_fp32 as it is. Tried: quantize (")
