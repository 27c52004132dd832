from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from deployables import in_runtime
from onnx import TensorProto, helper, numpy_helper

from mlopt.core.errors import MissingPackage, ModelError
from mlopt.formats.model import ONNX, TORCH, Kind, Model
from mlopt.formats.onnx.file import open_onnx
from mlopt.runtimes.onnxruntime import about, session_options
from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions
from mlopt.runtimes.table import open_session, runtimes_of


def identity(path: Path, dtype: int = TensorProto.FLOAT, operator: str = "Identity") -> Model:
    """y = x, one dimension ``n``."""
    graph = helper.make_graph(
        [helper.make_node(operator, ["x"], ["y"])], "g",
        [helper.make_tensor_value_info("x", dtype, ["n"])], [helper.make_tensor_value_info("y", dtype, ["n"])],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return open_onnx(path)


@pytest.mark.parametrize(
    ("dtype", "array"),
    [
        (TensorProto.FLOAT, np.array([1.5, -2], np.float32)),
        (TensorProto.FLOAT16, np.array([1.5, -2], np.float16)),
        (TensorProto.INT64, np.array([1, -2], np.int64)),
        (TensorProto.BOOL, np.array([True, False])),
        (TensorProto.STRING, np.array(["one", "zwölf"])),
    ],
)
def test_arrays_go_in_and_come_out_by_name(tmp_path: Path, dtype: int, array: np.ndarray) -> None:
    model = identity(tmp_path / "m.onnx", dtype)
    with open_session(in_runtime(model)) as session:
        assert session.inputs == model.inputs
        got = session.run({"x": array})
    assert list(got) == ["y"]
    np.testing.assert_array_equal(got["y"], array)


def test_options_reach_the_session() -> None:
    options = OnnxRuntimeOptions(threads=3, graph_optimization="basic")
    native = session_options(options)
    assert native.intra_op_num_threads == 3
    assert native.inter_op_num_threads == 1
    assert native.graph_optimization_level.name == "ORT_ENABLE_BASIC"
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


@pytest.mark.parametrize(
    ("feeds", "cause"),
    [
        ({"x": np.ones(2)}, "Unexpected input data type"),
        ({"x": np.ones((2, 2), np.float32)}, "Invalid rank"),
        ({"z": np.ones(2, np.float32)}, r"Required inputs \(\['x'\]\) are missing"),
        ({}, "Required inputs"),
    ],
)
def test_feeds_that_do_not_fit_are_one_line(tmp_path: Path, feeds: dict[str, np.ndarray], cause: str) -> None:
    with (
        open_session(in_runtime(identity(tmp_path / "m.onnx"))) as session,
        pytest.raises(ModelError, match=cause) as caught,
    ):
        session.run(feeds)
    (problem,) = caught.value.problems
    assert "\n" not in problem.what
    assert "ONNXRuntimeError" not in problem.what
    assert problem.expected == "x: float32[n]"


def test_a_model_that_is_refused_is_one_line(tmp_path: Path) -> None:
    model = identity(tmp_path / "m.onnx", operator="NoSuchOperator")
    with pytest.raises(ModelError, match=r"refuses the model: .*NoSuchOperator"), open_session(in_runtime(model)):
        pytest.fail("the model was loaded")


def test_bfloat16_at_the_interface_is_named(tmp_path: Path) -> None:
    model = identity(tmp_path / "m.onnx", TensorProto.BFLOAT16)
    with pytest.raises(ModelError, match="cannot exchange this dtype"), open_session(in_runtime(model)):
        pytest.fail("the model was loaded")


def test_a_gpu_that_is_not_there_is_an_error_that_names_the_extra(tmp_path: Path) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has ONNX Runtime's CUDA provider")
    model = identity(tmp_path / "m.onnx")
    with (
        pytest.raises(MissingPackage, match=r"\[gpu\]"),
        open_session(in_runtime(model, device="cuda")),
    ):
        pytest.fail("a session was opened")


@pytest.mark.parametrize(("kind", "names"), [(ONNX, ["onnxruntime", "openvino"]), (TORCH, ["torch"])])
def test_every_kind_has_its_runtimes(kind: Kind, names: list[str]) -> None:
    assert [each.name for each in runtimes_of(kind)] == names


def test_text_is_given_as_numpys_own(tmp_path: Path) -> None:
    nodes = [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.STRING)]
    ports = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])]
    graph = helper.make_graph(nodes, "g", ports, [helper.make_tensor_value_info("y", TensorProto.STRING, ["n"])])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "m.onnx")
    with open_session(in_runtime(open_onnx(tmp_path / "m.onnx"))) as session:
        text = session.run({"x": np.float32([1, 2])})["y"]
    assert text.dtype.kind == "U"
    assert text.tolist() == ["1", "2"]


def test_a_sequence_at_the_interface_is_refused_in_words(tmp_path: Path) -> None:
    nodes = [helper.make_node("SequenceConstruct", ["x"], ["y"])]
    ports = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])]
    output = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, ["n"])
    graph = helper.make_graph(nodes, "g", ports, [output])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "m.onnx")
    model = open_onnx(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="can be neither fed nor compared") as caught, open_session(in_runtime(model)):
        pytest.fail("the model was loaded")
    assert (caught.value.problems[0].got, "zipmap" in str(caught.value.problems[0].fix)) == ("a sequence", True)


@pytest.mark.process
def test_two_nodes_of_one_name_are_refused_with_a_command_that_mends_it(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    model = onnx.load(identity(path).path)
    model.graph.node.append(helper.make_node("Identity", ["x"], ["z"], name="same"))
    model.graph.node[0].name = "same"
    onnx.save(model, path)
    with pytest.raises(ModelError) as raised, open_session(in_runtime(open_onnx(path))):
        pass
    problem = raised.value.problems[0]
    assert (problem.what, problem.got) == (
        "two nodes of the model have one name, and ONNX Runtime refuses that",
        "same",
    )
    assert problem.fix is not None
    command = problem.fix.removeprefix("in the model's folder: python ")
    subprocess.run([sys.executable, *shlex.split(command)], cwd=tmp_path, check=True)
    with open_session(in_runtime(open_onnx(tmp_path / "named-m.onnx"))) as session:
        assert session.run({"x": np.ones(2, np.float32)})["y"].tolist() == [1, 1]


def test_sizes_and_axes_may_stand_in_another_file(tmp_path: Path) -> None:
    """ONNX Runtime alone refuses such a file: "Cannot parse data from external tensors"."""
    tensors = [
        numpy_helper.from_array(np.array([-1, 2]), "size"),
        numpy_helper.from_array(np.eye(512, dtype=np.float32)[:2], "w"),
    ]
    nodes = [helper.make_node("Reshape", ["x", "size"], ["r"]), helper.make_node("MatMul", ["r", "w"], ["y"])]
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", ["n", 2]), ("y", ["n", 512]))]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], tensors)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "m.onnx"
    onnx.save(proto, path, save_as_external_data=True, location="data", size_threshold=0)
    x = np.float32([[1, 2], [3, 4]])
    with open_session(in_runtime(open_onnx(path))) as session:
        np.testing.assert_array_equal(session.run({"x": x})["y"][:, :2], x)


def test_a_model_in_float64_is_told_what_helps(tmp_path: Path) -> None:
    model = identity(tmp_path / "m.onnx", TensorProto.DOUBLE, "Erf")
    with pytest.raises(ModelError) as raised, open_session(in_runtime(model)):
        pytest.fail("a session was opened")
    problem = raised.value.problems[0]
    assert problem.got == "tensors in float64"
    assert "`model.float()`" in str(problem.fix)


def test_it_tells_what_it_can_use_and_that_it_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    found = about()
    assert "CPUExecutionProvider" in found["providers"].split(", ")
    assert (found["telemetry"], os.environ["ORT_DISABLE_TELEMETRY"]) == ("off, by ORT_DISABLE_TELEMETRY=1", "1")
