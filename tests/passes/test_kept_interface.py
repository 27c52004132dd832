"""What a caller sees of a model besides its results stays: order, odd outputs, what the file says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from deployables import in_runtime
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from pass_runs import PLAIN_X86, dataset, fresh
from test_interface_names import PASSES

from mlopt.core.target import Objective, Target
from mlopt.formats.onnx.file import open_onnx
from mlopt.passes.base import Context
from mlopt.passes.table import table
from mlopt.run.step import execute
from mlopt.runtimes.base import RuntimeOptions

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
node, value = helper.make_node, helper.make_tensor_value_info
CONSTANT = numpy_helper.from_array(np.float32([1, 2, 3]), "k0")

Part = tuple[Sequence[onnx.NodeProto], Sequence[onnx.ValueInfoProto], Sequence[onnx.ValueInfoProto]]
ODD: dict[str, Part] = {
    "values in the middle": ([], [], [value("r", FLOAT, ["n", 32]), value("h", FLOAT, ["n", 32])]),
    "an input as output": ([], [], [value("x", FLOAT, ["n", 32])]),
    "an input that is only an output": ([], [value("i", INT64, ["n", 2])], [value("i", INT64, ["n", 2])]),
    "a float input that is only an output": ([], [value("f", FLOAT, ["n", 2])], [value("f", FLOAT, ["n", 2])]),
    "an input that nothing reads": ([], [value("unread", FLOAT, ["n", 2])], []),
    "a weight as output": ([], [], [value("w2", FLOAT, [32, 16])]),
    "an initializer as output": ([], [], [value("k0", FLOAT, [3])]),
    "a constant as output": ([node("Constant", [], ["c"], value=CONSTANT)], [], [value("c", FLOAT, [3])]),
    "a folded output": ([node("Add", ["k0", "k0"], ["k2"])], [], [value("k2", FLOAT, [3])]),
    "an output twice, by two names": (
        [node("Identity", ["y"], ["y1"]), node("Identity", ["y"], ["y2"])], [],
        [value("y1", FLOAT, ["n", 16]), value("y2", FLOAT, ["n", 16])],
    ),
    "an input by another name": ([node("Identity", ["x"], ["x1"])], [], [value("x1", FLOAT, ["n", 32])]),
    "an output twice, by one name": ([], [], [value("y", FLOAT, ["n", 16], "what comes out")]),
    "equal nodes": (
        [node("Tanh", ["y"], ["t1"]), node("Tanh", ["y"], ["t2"])], [],
        [value("t1", FLOAT, ["n", 16]), value("t2", FLOAT, ["n", 16])],
    ),
    "another domain": (
        [node("Binarizer", ["y"], ["b"], domain="ai.onnx.ml", threshold=0.5)], [], [value("b", FLOAT, ["n", 16])]
    ),
    "a function": ([node("Twice", ["y"], ["d"], domain="mine")], [], [value("d", FLOAT, ["n", 16])]),
}  # fmt: skip


def source(path: Path, odd: Sequence[str], *, opset: int = 17) -> onnx.ModelProto:
    """x: [n, 32] -> y: [n, 16], which stands last among the outputs, and what is ``odd``."""
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("Relu", ["h"], ["r"]), node("MatMul", ["r", "w2"], ["y"])]
    inputs, outputs = [value("x", FLOAT, ["n", 32], "what it is")], [value("y", FLOAT, ["n", 16], "what comes out")]
    for name in odd:
        more, given_, seen = ODD[name]
        nodes, inputs, outputs = [*nodes, *more], [*inputs, *given_], [*seen, *outputs]
    random = np.random.default_rng(0)
    weights = [numpy_helper.from_array((random.standard_normal(shape) / 4).astype(np.float32), name)
               for name, shape in (("w", (32, 32)), ("w2", (32, 16)))]  # fmt: skip
    graph = helper.make_graph(nodes, "a name", inputs, outputs, [*weights, CONSTANT], doc_string="of the graph")
    opsets = [helper.make_opsetid(domain, version) for domain, version in (("", opset), ("ai.onnx.ml", 3), ("mine", 1))]
    function = helper.make_function("mine", "Twice", ["a"], ["b"], [node("Add", ["a", "a"], ["b"])], opsets[:1])
    model = helper.make_model(
        graph, opset_imports=opsets, ir_version=8, producer_name="a tool", producer_version="3", domain="a.domain",
        model_version=7, doc_string="of the model", functions=[function] if "a function" in odd else [],
    )  # fmt: skip
    helper.set_model_props(model, {"author": "somebody", "labels": '["cat", "dog"]'})
    onnx.save(model, path)
    return model


def told(model: onnx.ModelProto) -> dict[str, Any]:
    """Return all that a pass must keep."""
    graph = model.graph
    names = ("producer_name", "producer_version", "domain", "model_version", "doc_string")
    return {
        **{name: getattr(model, name) for name in names},
        "graph": (graph.name, graph.doc_string),
        "properties": {each.key: each.value for each in model.metadata_props},
        "inputs": [str(each) for each in graph.input],
        "outputs": {each.name: str(each) for each in reversed(graph.output)},
        "order": [each.name for each in graph.output],
    }


def keeps(name: str, odd: Sequence[str], tmp_path: Path, **more: int) -> None:
    """Run a pass as the pipeline does, with its checks, and compare what it wrote with the source."""
    folder = fresh(tmp_path, "case")
    before = source(folder / "m.onnx", odd, **more)
    model = open_onnx(folder / "m.onnx")
    random = np.random.default_rng(1)
    data = {spec.name: random.standard_normal((8, *spec.shape[1:])).astype(spec.dtype) for spec in model.inputs}
    samples, out = dataset(data, folder), fresh(folder, "out")
    pass_, config = PASSES[name]
    context = Context(out, Target(threads=1), Objective.SIZE, PLAIN_X86, samples, samples)
    made = execute(
        table()[pass_], in_runtime(model), table()[pass_].config(**config), context, RuntimeOptions(threads=1)
    )
    assert "refused" not in made, made
    after = onnx.load(out / made["path"])
    assert told(after) == told(before)
    assert {entry.domain for entry in after.opset_import} >= {each.domain for each in after.graph.node}


@pytest.mark.heavy
@pytest.mark.parametrize("name", PASSES)
@pytest.mark.parametrize("odd", [list(ODD)[:8], list(ODD)[8:]], ids=["first half", "second half"])
def test_everything_at_once(name: str, odd: list[str], tmp_path: Path) -> None:
    keeps(name, odd, tmp_path)


@pytest.mark.heavy
@given(odd=st.lists(st.sampled_from(sorted(ODD)), unique=True), name=st.sampled_from(sorted(PASSES)))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_of_it(odd: list[str], name: str, tmp_path: Path) -> None:
    keeps(name, odd, tmp_path)


def test_raising_the_opset_loses_nothing(tmp_path: Path) -> None:
    keeps("static", ["values in the middle"], tmp_path, opset=11)
