"""OpenVINO answers what ONNX Runtime does, is told everything that it would choose by itself, and refuses the rest."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from deployables import in_runtime
from onnx import TensorProto, helper, numpy_helper
from pydantic import ValidationError
from quantization_models import cnn, encoder

from mlopt.core.errors import MissingPackage, ModelError
from mlopt.core.packages import version
from mlopt.formats.model import Model
from mlopt.formats.onnx.file import open_onnx
from mlopt.runtimes import Deployable, open_session, runtime_named
from mlopt.runtimes import openvino as adapter
from mlopt.runtimes.openvino_options import OpenVinoOptions
from mlopt.runtimes.openvino_profile import Nodes

needed = pytest.mark.skipif(version("openvino") is None, reason="openvino is not installed")
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
Array = np.ndarray[Any, Any]
TRAP = """
import sys
def trap(event, arguments):
    if event.startswith(("socket.", "os.fork", "os.posix_spawn", "subprocess.")):
        open(FILE, "a").write(f"{event} {arguments}\\n")
sys.addaudithook(trap)
"""


def graph(
    path: Path, nodes: list[onnx.NodeProto], inputs: Mapping[str, tuple[int, list[Any]]], outputs: Mapping[str, int],
    **held: Array,
) -> Model:  # fmt: skip
    """Write a graph; the shapes of its outputs are left to it."""
    made = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(name, *port) for name, port in inputs.items()],
        [helper.make_tensor_value_info(name, dtype, None) for name, dtype in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in held.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(made, opset_imports=opsets, ir_version=9), path)
    return open_onnx(path)


def one(path: Path, operator: str = "Identity", dtype: int = FLOAT, domain: str = "") -> Model:
    """y = operator(x), one dimension ``n``."""
    return graph(path, [helper.make_node(operator, ["x"], ["y"], domain=domain)], {"x": (dtype, ["n"])}, {"y": dtype})


def in_openvino(model: Model, **options: Any) -> Deployable:
    return Deployable(model, "openvino", OpenVinoOptions(threads=1, **options))


def answers(deployable: Deployable, feeds: Mapping[str, Array]) -> dict[str, Array]:
    with open_session(deployable) as session:
        return session.run(feeds)


def agree(model: Model, feeds: Mapping[str, Array], tolerance: float = 1e-5) -> None:
    expected, got = answers(in_runtime(model), feeds), answers(in_openvino(model), feeds)
    assert list(got) == list(expected) == [spec.name for spec in model.outputs]
    for name, array in expected.items():
        assert (got[name].dtype, got[name].shape) == (array.dtype, array.shape)
        np.testing.assert_allclose(got[name], array, rtol=tolerance, atol=tolerance)


@needed
@pytest.mark.parametrize("batch", [1, 3, 0])
def test_convolutions_of_any_batch(tmp_path: Path, batch: int) -> None:
    image = np.random.default_rng(0).normal(size=(batch, 3, 8, 8)).astype(np.float32)
    agree(open_onnx(cnn(tmp_path / "m.onnx")), {"image": image})


@needed
@pytest.mark.parametrize("size", [(1, 1), (2, 7)])
def test_sequences_of_any_length_ids_and_two_outputs(tmp_path: Path, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    feeds = {"ids": rng.integers(0, 100, size), "offset": rng.normal(size=(*size, 16)).astype(np.float32)}
    agree(open_onnx(encoder(tmp_path / "m.onnx")), feeds)


@needed
@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "int32", "int8", "uint8", "uint32", "bool"])
def test_arrays_go_in_and_come_out_by_name(tmp_path: Path, dtype: str) -> None:
    model = one(tmp_path / "m.onnx", dtype=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
    agree(model, {"x": np.array([0, 1, 3]).astype(dtype)})


@needed
def test_half_precision_is_rounded_at_the_interface_only(tmp_path: Path) -> None:
    nodes = [helper.make_node("Mul", ["x", "x"], ["h"]), helper.make_node("Sqrt", ["h"], ["y"])]
    model = graph(tmp_path / "m.onnx", nodes, {"x": (TensorProto.FLOAT16, ["n"])}, {"y": TensorProto.FLOAT16})
    agree(model, {"x": np.float16([1.5, 3.25, 0.1])}, tolerance=2e-3)


@needed
def test_scalars_what_goes_through_and_outputs_in_their_order(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["a"], ["y"]), helper.make_node("ReduceSum", ["y"], ["s"], keepdims=0),
        helper.make_node("Add", ["s", "b"], ["z"]), helper.make_node("Greater", ["a", "y"], ["w"]),
    ]  # fmt: skip
    inputs = {"a": (FLOAT, ["n", 3]), "b": (FLOAT, []), "unused": (INT64, ["n"])}
    outputs = {"z": FLOAT, "w": TensorProto.BOOL, "a": FLOAT, "y": FLOAT, "s": FLOAT}
    a = np.float32([[1, -2, 3], [-4, 5, 6]])
    feeds = {"unused": np.array([1, 2]), "b": np.array(7, np.float32), "a": a}
    agree(graph(tmp_path / "m.onnx", nodes, inputs, outputs), feeds)
    assert a[0, 1] == -2


@needed
def test_what_has_a_value_in_the_model_keeps_it(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "b"], ["y"])]
    inputs = {"x": (FLOAT, ["n", 3]), "b": (FLOAT, [3])}
    model = graph(tmp_path / "m.onnx", nodes, inputs, {"y": FLOAT}, b=np.float32([1, 2, 3]))
    assert model.defaults == ("b",)
    x = np.ones((2, 3), np.float32)
    agree(model, {"x": x})
    with pytest.raises(ModelError, match="no input 'b'"):
        answers(in_openvino(model), {"x": x, "b": x[0]})


@needed
def test_weights_in_another_file(tmp_path: Path) -> None:
    model = onnx.load(cnn(tmp_path / "whole.onnx"))
    path = tmp_path / "é, ü.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights, all", size_threshold=0)
    agree(open_onnx(path), {"image": np.ones((2, 3, 8, 8), np.float32)})


@needed
def test_arrays_that_lie_otherwise_in_memory(tmp_path: Path) -> None:
    model = graph(
        tmp_path / "m.onnx", [helper.make_node("Neg", ["x"], ["y"])], {"x": (FLOAT, ["n", "k"])}, {"y": FLOAT}
    )
    fixed = np.arange(6, dtype=np.float32).reshape(2, 3)
    fixed.flags.writeable = False
    for x in (fixed, fixed.T, fixed[:, ::2]):
        np.testing.assert_array_equal(answers(in_openvino(model), {"x": x})["y"], -x)


@needed
def test_an_answer_stays_what_it_was_and_threads_do_not_meet(tmp_path: Path) -> None:
    with (
        open_session(in_openvino(one(tmp_path / "m.onnx", "Neg"))) as session,
        ThreadPoolExecutor(4) as pool,
    ):
        first = session.run({"x": np.ones(4, np.float32)})["y"]
        done = pool.map(lambda n: (n, session.run({"x": np.full(n, n, np.float32)})["y"]), range(1, 200))
        assert all((got == -n).all() and len(got) == n for n, got in done)
        assert first.tolist() == [-1] * 4


@needed
@pytest.mark.parametrize(
    ("feeds", "fault"),
    [
        ({"a": np.ones((2, 3))}, "'a' is fed with another type"),
        ({"a": np.ones(3, np.float32)}, "'a' is fed with another number of axes"),
        ({"a": np.ones((2, 4), np.float32)}, "'a' is fed with sizes that do not go together"),
        ({"b": np.ones((1, 3), np.float32)}, "'b' is fed with sizes that do not go together"),
        ({"b": None}, "the feed lacks input 'b'"),
        ({"z": np.ones(2, np.float32)}, "no input 'z'"),
        ({"i": np.array([2**31])}, "integers beyond 32 bits"),
    ],
)
def test_feeds_that_openvino_would_answer_all_the_same(tmp_path: Path, feeds: dict[str, Any], fault: str) -> None:
    nodes = [helper.make_node("Add", ["a", "b"], ["y"]), helper.make_node("Neg", ["i"], ["k"])]
    inputs = {"a": (FLOAT, ["n", 3]), "b": (FLOAT, ["n", 3]), "i": (INT64, ["m"])}
    model = graph(tmp_path / "m.onnx", nodes, inputs, {"y": FLOAT, "k": INT64})
    good = {"a": np.ones((2, 3), np.float32), "b": np.ones((2, 3), np.float32), "i": np.array([2**31 - 1])}
    agree(model, good)
    fed = {name: array for name, array in {**good, **feeds}.items() if array is not None}
    with pytest.raises(ModelError, match=fault) as caught:
        answers(in_openvino(model), fed)
    (problem,) = caught.value.problems
    assert "\n" not in problem.what
    assert str(problem.expected).startswith("a: float32[n, 3]; b: ")


@needed
@pytest.mark.parametrize("dtype", [TensorProto.STRING, TensorProto.DOUBLE])
def test_what_openvino_would_compute_otherwise_is_refused(tmp_path: Path, dtype: int) -> None:
    with (
        pytest.raises(ModelError, match="runtime: onnxruntime"),
        open_session(in_openvino(one(tmp_path / "m.onnx", dtype=dtype))),
    ):
        pytest.fail("the model was loaded")


@needed
def test_an_operator_without_a_form_there_is_named(tmp_path: Path) -> None:
    model = one(tmp_path / "m.onnx", "NoSuchOperator")
    with pytest.raises(ModelError, match="does not know operators") as caught, open_session(in_openvino(model)):
        pytest.fail("the model was loaded")
    assert caught.value.problems[0].got == "NoSuchOperator-18"


@needed
def test_integers_fused_for_onnxruntime_are_refused_for_what_they_are(tmp_path: Path) -> None:
    held = {"s": np.array(0.1, np.float32), "z": np.array(0, np.uint8), "w": np.ones((3, 4), np.uint8)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("QGemm", ["q", "s", "z", "w", "s", "z", "", "s", "z"], ["c"], domain="com.microsoft"),
        helper.make_node("DequantizeLinear", ["c", "s", "z"], ["y"]),
    ]  # fmt: skip
    model = graph(tmp_path / "m.onnx", nodes, {"x": (FLOAT, ["n", 3])}, {"y": FLOAT}, **held)
    with pytest.raises(ModelError) as caught, open_session(in_openvino(model)):
        pytest.fail("the model was loaded")
    problem = caught.value.problems[0]
    assert problem.got == "com.microsoft.QGemm"
    assert "before `fuse`" in str(problem.fix)


@needed
def test_another_refusal_is_one_line_of_what_it_says(tmp_path: Path) -> None:
    model = graph(
        tmp_path / "m.onnx", [helper.make_node("Reshape", ["x", "to"], ["y"])], {"x": (FLOAT, [2, 3])}, {"y": FLOAT},
        to=np.array([7, 11]),
    )  # fmt: skip
    with pytest.raises(ModelError, match="OpenVINO refuses the model: ") as caught, open_session(in_openvino(model)):
        pytest.fail("the model was loaded")
    what = caught.value.problems[0].what
    assert "\n" not in what
    assert "Exception from" not in what
    assert "failed at" not in what


@needed
def test_nothing_is_left_to_openvino(tmp_path: Path) -> None:
    model = one(tmp_path / "m.onnx")
    native = adapter.compiled(model, OpenVinoOptions(threads=2, hint="throughput", streams=8, pinning=False))
    told = {
        name: native.get_property(name)
        for name in ("INFERENCE_NUM_THREADS", "NUM_STREAMS", "ENABLE_CPU_PINNING", "DYNAMIC_QUANTIZATION_GROUP_SIZE")
    }
    assert list(told.values()) == [2, 2, False, 0]
    assert native.get_property("INFERENCE_PRECISION_HINT").get_type_name() == "f32"
    assert native.get_property("EXECUTION_MODE_HINT").name == "ACCURACY"


def test_options_of_strangers_are_a_closed_list() -> None:
    assert set(OpenVinoOptions.model_fields) == {"threads", "device", "precision", "hint", "streams", "pinning"}
    for odd in ({"cache_dir": "/tmp"}, {"precision": "auto"}, {"streams": 0}, {"hint": "LATENCY"}, {"pinning": 1}):
        with pytest.raises(ValidationError):
            OpenVinoOptions.model_validate({"threads": 1, "device": "cpu", **odd}, strict=True)


def bf16() -> bool:
    return "BF16" in adapter.import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@needed
def test_bfloat16_runs_where_it_is_asked_for_and_is_told(tmp_path: Path) -> None:
    model = open_onnx(cnn(tmp_path / "m.onnx"))
    exact, rounded = in_openvino(model), in_openvino(model, precision="bf16")
    assert exact.identity != rounded.identity
    assert [runtime_named("openvino").remark(model, each.options) is None for each in (exact, rounded)] == [True, False]
    if not bf16():
        with pytest.raises(ModelError, match="does not compute in bfloat16"):
            answers(rounded, {})
        pytest.skip("this CPU has no bfloat16, and says so")
    image = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)
    one, other = (answers(each, {"image": image})["logits"] for each in (exact, rounded))
    assert 1e-5 < np.abs(one - other).max() / np.abs(one).max() < 0.05
    precisions = [
        {each.precision for each in adapter.layers(model, options) if each.op_type == "Convolution"}
        for options in (OpenVinoOptions(threads=1), OpenVinoOptions(threads=1, precision="bf16"))
    ]
    assert precisions == [{"f32"}, {"bf16"}]


@needed
def test_quantized_layers_run_in_integers(tmp_path: Path) -> None:
    held = {
        "s": np.array(0.05, np.float32), "z": np.array(128, np.uint8), "t": np.array(0.02, np.float32),
        "w": np.random.default_rng(0).integers(-127, 128, (16, 16, 3, 3)).astype(np.int8), "o": np.array(0, np.int8),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "t", "o"], ["v"]),
        helper.make_node("Conv", ["d", "v"], ["y"], name="conv"),
    ]
    model = graph(tmp_path / "m.onnx", nodes, {"x": (FLOAT, ["n", 16, 8, 8])}, {"y": FLOAT}, **held)
    x = np.random.default_rng(1).normal(size=(2, 16, 8, 8)).astype(np.float32)
    agree(model, {"x": x}, tolerance=1e-4)
    (layer,) = [each for each in adapter.layers(model, OpenVinoOptions(threads=1)) if each.op_type == "Convolution"]
    assert layer.precision == "u8"
    assert Nodes.of(onnx.load(model.path).graph).told(layer.made_of) == ("conv", "Conv")


@needed
def test_a_profile_names_the_nodes_of_the_model(tmp_path: Path) -> None:
    model = open_onnx(cnn(tmp_path / "m.onnx"))
    feed = {"image": np.ones((2, 3, 8, 8), np.float32)}
    found = adapter.profile(model, OpenVinoOptions(threads=1), iter(lambda: feed, None), 0.01)
    types = {node.name: node.op_type for node in found}
    assert {"first": "Conv", "second": "Conv", "head": "Gemm"}.items() <= types.items()
    assert all(node.ms >= 0 for node in found)
    assert sum(node.ms for node in found) > 0


@needed
@pytest.mark.process
def test_the_table_of_runtimes_imports_none() -> None:
    code = "import sys, mlopt.runtimes as r; r.table(); print('openvino' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@needed
@pytest.mark.process
@pytest.mark.parametrize(
    "way",
    [
        "from mlopt.measure.bench import import_runtime; import_runtime('openvino')",
        (
            "import sys; from pathlib import Path; from mlopt.formats.onnx.file import open_onnx\n"
            "from mlopt.runtimes import Deployable, open_session; import numpy\n"
            "from mlopt.runtimes.openvino_options import OpenVinoOptions\n"
            "one = Deployable(open_onnx(Path(sys.argv[1])), 'openvino', OpenVinoOptions(threads=1))\n"
            "with open_session(one) as session: print(session.run({'x': numpy.ones(2, 'float32')}))"
        ),
    ],
    ids=["imported", "opened"],
)
def test_no_event_is_sent_and_nothing_is_left_in_the_home(tmp_path: Path, way: str) -> None:
    """A trap before all else: any socket at all, and what lies in the home and the working folder afterwards."""
    home, told = tmp_path / "home", tmp_path / "told"
    home.mkdir()
    one(tmp_path / "m.onnx")
    trap = TRAP.replace("FILE", repr(str(told)))
    environment = {key: value for key, value in os.environ.items() if key not in {"CI", "NNCF_CI"}}
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    code = f"{trap}\n{way}\nimport openvino\nassert 'openvino_telemetry.main' not in sys.modules\n"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "m.onnx")], cwd=home, env=environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not told.exists(), told.read_text()
    assert list(home.rglob("*")) == []


def test_one_that_is_not_installed_is_named_with_what_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingPackage, match="OpenVINO is not installed") as caught:
        answers(in_openvino(one(tmp_path / "m.onnx")), {})
    assert caught.value.problems[0].fix == 'pip install "mlopt[openvino]"'
