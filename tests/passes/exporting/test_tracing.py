"""A PyTorch model on its way to ONNX: names that are given last, an origin that is forgotten, sizes in Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from pass_runs import PLAIN_X86, fresh, outputs_of

torch = pytest.importorskip("torch", reason="exporting needs the extra mlopt[torch]")

import onnx_ir as ir  # noqa: E402

from mlopt.core.errors import ModelError, PassError  # noqa: E402
from mlopt.core.target import Objective, Target  # noqa: E402
from mlopt.core.usercode import CodeReference  # noqa: E402
from mlopt.formats.model import TensorSpec  # noqa: E402
from mlopt.formats.onnx import graph as graph_module  # noqa: E402
from mlopt.formats.onnx.file import open_onnx  # noqa: E402
from mlopt.formats.torch.module import Flat  # noqa: E402
from mlopt.formats.torch.source import materialize  # noqa: E402
from mlopt.passes.base import Context  # noqa: E402
from mlopt.passes.exporting.tracing import Task, dynamo, open_task, write  # noqa: E402

X = (TensorSpec("x", "float32", ("batch", "n")),)


def task(does: Any = torch.relu, outputs: tuple[str, ...] = ("y",)) -> Task:
    class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            return does(x)

    return Task(Flat(Net(), 1, ()), X, (torch.rand(2, 3),), outputs)


def exported(inner: str, weight: str, *, operator: str = "Relu", width: int = 4, **meta: str) -> ir.Model:
    """What an exporter makes: neutral names outside, ``inner`` and ``weight`` inside."""
    nodes = [
        helper.make_node("MatMul", ["mlopt_input_0", weight], [inner], doc_string="File /home/somebody/net.py"),
        helper.make_node(operator, [inner], ["mlopt_output_0"]),
    ]
    ports = [helper.make_tensor_value_info(f"mlopt_{way}_0", TensorProto.FLOAT, ["batch", size])
             for way, size in (("input", width), ("output", "mlopt_output_0_dim_1"))]  # fmt: skip
    held = [numpy_helper.from_array(np.eye(width, dtype=np.float32), weight)]
    made = helper.make_graph(nodes, "g", ports[:1], ports[1:], held)
    proto = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(proto, meta)
    return ir.from_proto(proto)


def test_the_exporter_sees_names_that_no_model_has() -> None:
    two = task(outputs=("y", "z"))
    assert (two.neutral_inputs, two.neutral_outputs) == (["mlopt_input_0"], ["mlopt_output_0", "mlopt_output_1"])


@pytest.mark.parametrize(("inner", "weight"), [("h", "model.w"), ("y", "model.x"), ("x", "y"), ("y_1", "model.y")])
def test_values_inside_give_way_to_declared_names(tmp_path: Path, inner: str, weight: str) -> None:
    path = write(exported(inner, weight), task(), tmp_path / "m.onnx")
    found = open_onnx(path)
    assert [spec.name for spec in (*found.inputs, *found.outputs)] == ["x", "y"]
    graph = onnx.load(path).graph
    names = [graph.input[0].name, *(t.name for t in graph.initializer), *(n.output[0] for n in graph.node)]
    assert len(names) == len(set(names))
    values = np.array([[1, -2, 3, -4]], np.float32)
    np.testing.assert_array_equal(outputs_of(path, {"x": values})["y"], np.maximum(values, 0))


def test_a_weight_has_the_name_that_the_module_knows_it_by(tmp_path: Path) -> None:
    path = write(exported("h", "model.layer.weight"), task(), tmp_path / "m.onnx")
    assert [tensor.name for tensor in onnx.load(path).graph.initializer] == ["layer.weight"]


def test_an_unknown_size_is_named_after_the_declared_output(tmp_path: Path) -> None:
    path = write(exported("h", "w"), task(outputs=("scores",)), tmp_path / "m.onnx")
    assert open_onnx(path).outputs[0].shape == ("batch", "scores_dim_1")


def test_where_a_graph_came_from_is_forgotten(tmp_path: Path) -> None:
    path = write(exported("h", "w", trace="/home/somebody/net.py"), task(), tmp_path / "m.onnx")
    assert b"somebody" not in path.read_bytes()


def test_large_weights_go_to_a_file_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = 4 * 16 * 16
    for limit, names in ((weights - 1, ["m.onnx", "m.onnx.data"]), (weights, ["m.onnx"])):
        monkeypatch.setattr(graph_module, "EXTERNAL_DATA_ABOVE", limit)
        path = write(exported("h", "w", width=16), task(), fresh(tmp_path, "out") / "m.onnx")
        assert [file.name for file in open_onnx(path).files] == names


def test_what_the_exporter_made_is_checked(tmp_path: Path) -> None:
    with pytest.raises(PassError, match="PyTorch exported an invalid model") as caught:
        write(exported("h", "w", operator="NoSuchOperator"), task(), tmp_path / "m.onnx")
    assert "NoSuchOperator" in str(caught.value.problems[0].got)


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore")
def test_roots_and_roundings_of_sizes_are_computed_in_the_graph(tmp_path: Path) -> None:
    import math

    path = write(dynamo(task(lambda x: x * math.sqrt(x.shape[1])), 18), task(), tmp_path / "m.onnx")
    for size in (3, 16):
        got = outputs_of(path, {"x": np.ones((2, size), np.float32)})["y"]
        np.testing.assert_allclose(got, np.full((2, size), math.sqrt(size)), rtol=1e-6)


def opened(tmp_path: Path, forward: str, inputs: tuple[TensorSpec, ...] = X, outputs: tuple[str, ...] = ()) -> Task:
    folder = fresh(tmp_path, "source")
    (folder / "net.py").write_text(
        "import torch\nfrom torch import nn\nclass Net(nn.Module):\n    calls = 0\n    def forward(self, x):\n"
        f"        self.calls += 1\n        {forward}\ndef build():\n    return Net()\n"
    )
    model = materialize(CodeReference(folder / "net.py", "build"), None, inputs, outputs, fresh(tmp_path, "model"))
    return open_task(model, Context(fresh(tmp_path, "out"), Target(), Objective.LATENCY, PLAIN_X86, inputs=inputs))


def test_a_task_counts_the_outputs_and_keeps_its_module_unused(tmp_path: Path) -> None:
    found = opened(tmp_path, "return {'a': x, 'b': [x, x + 1]}")
    assert (len(found.outputs), found.specs) == (3, X)
    assert [tuple(example.shape) for example in found.examples] == [(2, 3)]
    assert found.module.model.calls == 0


@pytest.mark.parametrize(
    ("forward", "said"),
    [
        ("return x.view(-1, 7)", "forward() fails on the declared inputs"),
        ("return x if 'nan' not in str(x) else x + 1", "forward() makes text of a tensor"),
    ],
)
def test_a_module_that_cannot_be_traced_is_refused_before_it_is(tmp_path: Path, forward: str, said: str) -> None:
    with pytest.raises((ModelError, PassError)) as caught:
        opened(tmp_path, forward)
    assert caught.value.problems[0].what.startswith(said)
