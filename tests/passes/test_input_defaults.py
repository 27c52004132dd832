"""Inputs with a default, which a caller may set from IR version 4 on: kept as they are, or fixed and said to be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from deployables import in_runtime
from onnx import TensorProto, helper, numpy_helper
from pass_runs import PLAIN_X86, dataset, fresh
from test_interface_names import PASSES

from mlopt.core.errors import DataError
from mlopt.core.target import Objective, Target
from mlopt.data.dataset import Samples
from mlopt.data.feeds import check_inputs
from mlopt.formats.onnx.file import open_onnx
from mlopt.passes.base import Context
from mlopt.passes.table import table
from mlopt.run.inputs import interface_notice
from mlopt.run.step import execute
from mlopt.runtimes.base import RuntimeOptions

X = np.random.default_rng(0).standard_normal((8, 32)).astype(np.float32)
NOTE = "inputs fixed to their defaults"


def source(path: Path, *, ir: int, weights: bool = False) -> Path:
    """y = relu((x * scale) @ w); ``scale`` has a default, as the weight has if ``weights``."""
    value, node = helper.make_tensor_value_info, helper.make_node
    arrays = {"scale": np.float32([2]), "w": np.random.default_rng(1).standard_normal((32, 16)).astype(np.float32)}
    nodes = [node("Mul", ["x", "scale"], ["h"]), node("MatMul", ["h", "w"], ["m"]), node("Relu", ["m"], ["y"])]
    listed = [value(k, TensorProto.FLOAT, a.shape) for k, a in arrays.items() if weights or k == "scale"]
    graph = helper.make_graph(
        nodes, "g", [value("x", TensorProto.FLOAT, ["n", 32]), *listed], [value("y", TensorProto.FLOAT, ["n", 16])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=ir), path)
    return path


def run(path: Path, scale: float | None) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feeds = {"x": X} if scale is None else {"x": X, "scale": np.float32([scale])}
    return session.run(None, feeds)[0]


def after(name: str, path: Path, tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """Run a pass as the pipeline does; return what it wrote and the step's notes."""
    pass_, config = PASSES[name]
    data, out = dataset({"x": X}, tmp_path), fresh(tmp_path, "out")
    context = Context(out, Target(threads=1), Objective.SIZE, PLAIN_X86, data, data)
    made = execute(
        table()[pass_], in_runtime(open_onnx(path)), table()[pass_].config(**config), context, RuntimeOptions(threads=1)
    )
    return out / made["path"], made["notes"]


@pytest.mark.parametrize("name", PASSES)
def test_a_default_can_still_be_set_or_the_step_says_that_it_cannot(name: str, tmp_path: Path) -> None:
    path = source(tmp_path / "m.onnx", ir=8)
    made, notes = after(name, path, tmp_path)
    np.testing.assert_allclose(run(made, None), run(path, None), rtol=0.1, atol=1)
    if name.startswith("fuse"):
        assert NOTE not in notes
        assert open_onnx(made).defaults == ("scale",)
        np.testing.assert_allclose(run(made, 3), run(path, 3), rtol=1e-4, atol=1e-5)
    else:
        assert notes[NOTE] == "'scale'"
        assert open_onnx(made).defaults == ()


@pytest.mark.parametrize("name", ["simplify", "fuse", "dynamic"])
def test_what_ir_version_3_lists_are_weights_and_nothing_is_said(name: str, tmp_path: Path) -> None:
    path = source(tmp_path / "m.onnx", ir=3, weights=True)
    model = open_onnx(path)
    assert ([spec.name for spec in model.inputs], model.defaults) == (["x"], ())
    assert interface_notice(model) == []
    assert NOTE not in after(name, path, tmp_path)[1]


def test_the_run_says_so_in_one_line_however_many_there_are(tmp_path: Path) -> None:
    (said,) = interface_notice(open_onnx(source(tmp_path / "m.onnx", ir=4, weights=True)))
    assert "('scale', 'w')" in said
    proto = onnx.load(tmp_path / "m.onnx")
    for number in range(100):
        proto.graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.float32), f"w{number}"))
        proto.graph.input.append(helper.make_tensor_value_info(f"w{number}", TensorProto.FLOAT, [1]))
    onnx.save(proto, tmp_path / "m.onnx")
    (said,) = interface_notice(open_onnx(tmp_path / "m.onnx"))
    assert "('scale', 'w', 'w0', 'w1' and 98 more)" in said


def test_data_cannot_set_a_default(tmp_path: Path) -> None:
    model = open_onnx(source(tmp_path / "m.onnx", ir=8))
    given = Samples({"x": X, "scale": np.ones((8, 1), np.float32)})
    with pytest.raises(DataError, match="input 'scale' has a default in the model") as refused:
        check_inputs(given, model.inputs, "x.npz", model.defaults)
    assert len(refused.value.problems) == 1


def test_a_sparse_default_is_one_too(tmp_path: Path) -> None:
    proto = onnx.load(source(tmp_path / "m.onnx", ir=8, weights=True))
    weight = next(tensor for tensor in proto.graph.initializer if tensor.name == "w")
    values = numpy_helper.from_array(numpy_helper.to_array(weight).reshape(-1), "w")
    places = numpy_helper.from_array(np.arange(32 * 16), "w_places")
    proto.graph.initializer.remove(weight)
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [32, 16]))
    onnx.save(proto, tmp_path / "m.onnx")
    model = open_onnx(tmp_path / "m.onnx")
    assert ([spec.name for spec in model.inputs], model.defaults) == (["x"], ("scale", "w"))
