"""OpenVINO answers what ONNX Runtime does, is told everything that it would choose by itself, and refuses the rest."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from openvino_models import FLOAT, INT64, Array, agree, answers, graph, in_openvino, needed, one
from quantization_models import cnn, encoder

from mlopt.core.errors import MissingPackage, ModelError
from mlopt.core.packages import install_command
from mlopt.core.worker import run_in_worker
from mlopt.data.dataset import Samples, store
from mlopt.formats.onnx.file import open_onnx
from mlopt.measure.bench import Bench
from mlopt.measure.candidate import Candidate
from mlopt.measure.outputs import read_outputs, write_outputs
from mlopt.runtimes import openvino as adapter
from mlopt.runtimes.openvino_options import OpenVinoOptions
from mlopt.runtimes.table import open_session, runtime_named

TRAP = """
import sys
def trap(event, arguments):
    if event.startswith(("socket.", "os.fork", "os.posix_spawn", "subprocess.")):
        open(FILE, "a").write(f"{event} {arguments}\\n")
sys.addaudithook(trap)
"""


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
@pytest.mark.parametrize("x", [np.ones(2), np.ones((2, 2), np.float32)])
def test_feeds_that_openvino_would_answer_all_the_same(tmp_path: Path, x: Array) -> None:
    with pytest.raises(ModelError, match="input 'x' is fed with another"):
        answers(in_openvino(one(tmp_path / "m.onnx")), {"x": x})


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
@pytest.mark.process
def test_the_table_of_runtimes_imports_none() -> None:
    code = "import sys, mlopt.runtimes.table as r; r.table(); print('openvino' in sys.modules)"
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
            "from mlopt.runtimes.base import Deployable; from mlopt.runtimes.table import open_session; import numpy\n"
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
    assert caught.value.problems[0].fix == install_command("openvino")


@needed
@pytest.mark.process
def test_bfloat16_is_measured_as_it_is_deployed(tmp_path: Path) -> None:
    if not bf16():
        pytest.skip("this CPU has no bfloat16")
    model = open_onnx(cnn(tmp_path / "m.onnx"))
    image = np.random.default_rng(0).normal(size=(4, 3, 8, 8)).astype(np.float32)
    samples = store(Samples({"image": image}), tmp_path / "data", "test data")
    told = []
    for number, deployable in enumerate((in_openvino(model), in_openvino(model, precision="bf16"))):
        candidate, out = Candidate("m", deployable), tmp_path / f"outputs{number}"
        out.mkdir()
        names = run_in_worker(tmp_path / f"log{number}", write_outputs, candidate, samples, 2, out)["names"]
        told.append(read_outputs(out, names)["logits"])
        assert Bench(candidate, samples).block(0.01, 2, settle=False)
    assert 1e-5 < np.abs(told[0] - told[1]).max() / np.abs(told[0]).max() < 0.05


@pytest.mark.parametrize(("inputs", "outputs"), [([], 1), (["x"], 2)])
def test_another_interface_than_the_models_is_refused(tmp_path: Path, inputs: list[str], outputs: int) -> None:
    ports = [SimpleNamespace(get_names=lambda name=name: {name}) for name in inputs]
    native = SimpleNamespace(inputs=ports, outputs=[None] * outputs)
    with pytest.raises(ModelError, match="another interface"):
        adapter._Session(one(tmp_path / "m.onnx"), SimpleNamespace(read=native))


@needed
@pytest.mark.parametrize("build", [cnn, encoder])
def test_static_shapes_answer_as_dynamic_ones_do_whatever_sizes_come(
    tmp_path: Path, build: Callable[..., Path]
) -> None:
    model, rng = open_onnx(build(tmp_path / "m.onnx")), np.random.default_rng(0)
    with open_session(in_openvino(model)) as dynamic, open_session(in_openvino(model, shapes="static")) as static:
        for size in (*range(1, adapter._SETS_OF_SIZES + 3), 1):
            feeds = {
                spec.name: rng.integers(0, 100, (size, 4))
                if spec.dtype == "int64"
                else rng.normal(size=[size, *(4 if isinstance(n, str) else n for n in spec.shape[1:])]).astype(
                    np.float32
                )
                for spec in model.inputs
            }
            for name, array in dynamic.run(feeds).items():
                np.testing.assert_allclose(static.run(feeds)[name], array, rtol=1e-4, atol=1e-5)


@needed
def test_more_sizes_than_are_compiled_for_never_run_in_a_precision_that_nobody_judged(tmp_path: Path) -> None:
    """Positions by a running sum: bfloat16 cannot count beyond 256."""
    if not bf16():
        pytest.skip("this CPU has no bfloat16")
    nodes = [
        helper.make_node("Shape", ["x"], ["sizes"]), helper.make_node("Expand", ["one", "sizes"], ["ones"]),
        helper.make_node("CumSum", ["ones", "axis"], ["at"]), helper.make_node("Sin", ["at"], ["s"]),
        helper.make_node("MatMul", ["s", "w"], ["y"]),
    ]  # fmt: skip
    held = {"one": np.float32(1), "axis": np.int64(1), "w": np.eye(8, dtype=np.float32)}
    model = graph(tmp_path / "m.onnx", nodes, {"x": (FLOAT, ["b", "t", 8])}, {"y": FLOAT}, **held)
    with open_session(in_openvino(model, precision="bf16", shapes="static")) as session:
        for size in range(1, adapter._SETS_OF_SIZES + 1):
            session.run({"x": np.zeros((1, size, 8), np.float32)})
        for size in (400, 800):
            feeds = {"x": np.zeros((1, size, 8), np.float32)}
            expected = answers(in_openvino(model), feeds)["y"]
            np.testing.assert_allclose(session.run(feeds)["y"], expected, atol=1e-5)


@needed
@pytest.mark.parametrize("shapes", ["dynamic", "static"])
def test_positions_that_are_fed_are_never_rounded(tmp_path: Path, shapes: str) -> None:
    if not bf16():
        pytest.skip("this CPU has no bfloat16")
    nodes = [
        helper.make_node("Cast", ["at"], ["f"], to=FLOAT), helper.make_node("Sin", ["f"], ["s"]),
        helper.make_node("MatMul", ["s", "w"], ["y"]),
    ]  # fmt: skip
    model = graph(
        tmp_path / "m.onnx", nodes, {"at": (INT64, ["b", 8])}, {"y": FLOAT}, w=np.eye(8, dtype=np.float32)
    )  # fmt: skip
    feeds = {"at": np.arange(3001, 3009).reshape(1, 8)}
    answers(in_openvino(model, shapes=shapes), feeds)
    with pytest.raises(ModelError, match="what is counted before it becomes an angle"):
        answers(in_openvino(model, shapes=shapes, precision="bf16"), feeds)


@needed
def test_sizes_that_many_ask_for_at_a_time_are_compiled_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    real = adapter._Compiler._fixed

    def fixed(compiler: adapter._Compiler, shapes: tuple[tuple[int, ...], ...]) -> object:
        made.append(shapes)
        return real(compiler, shapes)

    monkeypatch.setattr(adapter._Compiler, "_fixed", fixed)
    compiler = adapter._Compiler(open_onnx(cnn(tmp_path / "m.onnx")), OpenVinoOptions(threads=1, shapes="static"))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: id(compiler.fitting(((1, 3, 8, 8),))), range(16)))
    assert len(made) == len(set(found)) == 1


@needed
def test_what_cannot_do_without_varying_sizes_runs_as_it_did(tmp_path: Path) -> None:
    model = open_onnx(cnn(tmp_path / "m.onnx"))
    compiler = adapter._Compiler(model, OpenVinoOptions(threads=1, shapes="static"))
    assert compiler.fitting(((1, 5, 8, 8),)) is compiler.whole()
    assert compiler.fitting(((1, 3, 8, 8),)) is not compiler.whole()


@needed
def test_the_choices_keep_the_rest_and_say_which_is_exact() -> None:
    asked = OpenVinoOptions(threads=2, hint="throughput", streams=2)
    for one_size in (False, True):
        first, *lossy = adapter.choices(asked, one_size)
        assert adapter.exactly(first) == first
        assert first.shapes == ("static" if one_size else "dynamic")
        assert all(adapter.exactly(each) == first != each for each in lossy)
        assert all(each.hint == asked.hint and each.streams == 2 for each in (first, *lossy))


@needed
def test_it_tells_its_devices_whether_bf16_is_there_and_that_it_sends_nothing() -> None:
    found = adapter.about()
    assert "CPU" in found["devices"].split(", ")
    assert found["precision"] == ("exact, bf16" if bf16() else "exact (this CPU has no bf16)")
    assert found["telemetry"].startswith("off")
    assert "openvino_telemetry.main" not in sys.modules
