"""The example in docs/writing-a-pass.md is run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from pass_runs import applied, outputs_of, run_pass

from mlopt.passes.base import Refusal

DOCUMENT = Path(__file__).parents[2] / "docs" / "writing-a-pass.md"
FEEDS = {"x": np.array([[-1, 2]], np.float32)}


@pytest.fixture(scope="module")
def example() -> ModuleType:
    found = re.search(r"^```python\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert found
    module = ModuleType("example")
    exec(compile(found[1], str(DOCUMENT), "exec"), vars(module))
    return module


def model(path: Path, *operators: str) -> Path:
    """A chain of operators from x to y."""
    names = ["x", *(f"v{index}" for index in range(1, len(operators))), "y"]
    nodes = [
        helper.make_node(operator, [names[index]], [names[index + 1]], name=operator.lower())
        for index, operator in enumerate(operators)
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_dropout_goes_and_results_stay(tmp_path: Path, example: ModuleType) -> None:
    source = model(tmp_path / "model.onnx", "Relu", "Dropout", "Neg")
    result = applied(run_pass(example.PASS, source, {}, tmp_path))
    assert result.notes == {"dropped": 1}
    assert [node.op_type for node in onnx.load(result.path).graph.node] == ["Relu", "Neg"]
    np.testing.assert_array_equal(outputs_of(result.path, FEEDS)["y"], outputs_of(source, FEEDS)["y"])


@pytest.mark.parametrize(("operators", "config"), [(("Relu", "Neg"), {}), (("Dropout", "Neg"), {"keep": ["dropout"]})])
def test_a_graph_without_dropout_to_drop_is_refused(
    tmp_path: Path, example: ModuleType, operators: tuple[str, ...], config: dict[str, list[str]]
) -> None:
    source = model(tmp_path / "model.onnx", *operators)
    assert run_pass(example.PASS, source, config, tmp_path) == Refusal("the graph has no Dropout to drop")
