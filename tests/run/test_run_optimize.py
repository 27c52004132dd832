"""The stages of a run, called one after the other as docs/architecture.md shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"
RECIPE = """\
apiVersion: mlopt/v1
name: linear
model: {source: linear.onnx}
passes: [simplify]
measure: {seconds: 0.1, rounds: 7, max_time: 1, operators: false}
"""


def linear(path: Path) -> None:
    """Write y = x W + b, from [batch, 4] to [batch, 3]."""
    values = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(values.normal(size=shape).astype(np.float32), name)
        for name, shape in (("w", (4, 3)), ("b", (3,)))
    ]
    shapes = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", w]) for n, w in (("x", 4), ("y", 3)))
    graph = helper.make_graph([helper.make_node("Gemm", ["x", "w", "b"], ["y"])], "g", *([s] for s in shapes), weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


@pytest.mark.process
def test_the_page_shows_a_whole_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    linear(tmp_path / "linear.onnx")
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    known: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), known)
    assert (tmp_path / "artifacts" / "linear" / "report.json").is_file()
    assert [outcome.status for outcome in known["chosen"].outcomes] == ["applied"]
