"""Sizes and inputs that a deployment fixes: right, written where sessions find it, kept by later passes, no more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from branching import VOICE, voice_feeds, voice_samples, written
from deployables import in_runtime
from onnx import helper, numpy_helper
from openvino_models import in_openvino, needed
from pass_runs import PLAIN_X86, applied, dataset, fresh, outputs_of, run_pass
from pydantic import ValidationError

from mlopt.core.errors import ModelError, PassError
from mlopt.core.target import Objective, Target
from mlopt.data.dataset import Array
from mlopt.formats.model import Model
from mlopt.formats.onnx import graph as onnx_graph
from mlopt.formats.onnx.file import open_onnx, read_graph
from mlopt.formats.onnx.fixed import KEY
from mlopt.formats.onnx.graph import operators
from mlopt.passes.base import Context, Refusal
from mlopt.passes.specialize import PASS, SpecializeConfig
from mlopt.passes.table import table
from mlopt.run.step import execute
from mlopt.runtimes.base import RuntimeOptions
from mlopt.runtimes.table import open_session

pytestmark = pytest.mark.heavy

ALL: dict[str, Any] = {"dims": {"batch": 1, "time": 6}, "inputs": {"rate": 16000, "loud": True}}


def specialized(tmp_path: Path, config: Mapping[str, Any] = ALL, text: str = VOICE) -> Model:
    made = applied(run_pass(PASS, written(tmp_path / "m.onnx", text), config, tmp_path))
    return open_onnx(made.path)


def refusal(tmp_path: Path, config: Mapping[str, Any], text: str = VOICE) -> str:
    with pytest.raises(PassError) as caught:
        run_pass(PASS, written(tmp_path / "m.onnx", text), config, tmp_path)
    return str(caught.value)


def alike(ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> None:
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=1e-6)


def test_one_branch_is_left_and_computes_what_the_model_did(tmp_path: Path) -> None:
    source = written(tmp_path / "m.onnx")
    made = applied(run_pass(PASS, source, ALL, tmp_path))
    assert operators(read_graph(made.path).graph) == {"Add": 1, "Mul": 2, "Neg": 1}
    assert made.notes["fixed"] == {"batch": 1, "time": 6, "rate": 16000, "loud": True}
    assert "still free" not in made.notes
    assert "remark" not in made.notes
    for seed in range(4):
        alike(outputs_of(made.path, voice_feeds(seed=seed)), outputs_of(source, voice_feeds(seed=seed)))


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("loud", [True, False])
def test_whatever_is_fixed_the_results_are_those_of_the_model(rate: int, rows: int, loud: bool, tmp_path: Path) -> None:
    source, feeds = written(tmp_path / "m.onnx"), voice_feeds(rows, 5, rate, loud=loud)
    for config in (
        {"inputs": {"rate": rate}}, {"dims": {"batch": rows}}, {"inputs": {"loud": loud}, "dims": {"time": 5}},
        {"inputs": {"rate": rate, "loud": loud}, "dims": {"batch": rows, "time": 5}},
    ):  # fmt: skip
        made = applied(run_pass(PASS, source, config, tmp_path))
        alike(outputs_of(made.path, feeds), outputs_of(source, feeds))


def test_the_interface_has_the_sizes_and_the_values_and_all_names(tmp_path: Path) -> None:
    made = specialized(tmp_path)
    assert list(map(str, made.inputs)) == [
        "x: float32[1, 6]", "state: float32[2, 1, 4]", "rate: int64[] = 16000", "loud: bool[] = True",
    ]  # fmt: skip
    assert list(map(str, made.outputs)) == ["y: float32[1, 6]", "next: float32[2, 1, 4]"]
    assert (made.sizes, made.fixed) == ((("batch", 1), ("time", 6)), {"rate": 16000, "loud": True})


def test_what_is_not_fixed_stays_free(tmp_path: Path) -> None:
    source = written(tmp_path / "m.onnx")
    made = applied(run_pass(PASS, source, {"dims": {"batch": 1}, "inputs": {"rate": 16000}}, tmp_path))
    assert made.notes["still free"] == ["time"]
    assert str(open_onnx(made.path).inputs[0]) == "x: float32[1, time]"
    for time, loud in ((3, True), (9, False)):
        feeds = voice_feeds(1, time, loud=loud)
        alike(outputs_of(made.path, feeds), outputs_of(source, feeds))


def test_other_runtimes_feed_the_file_as_before(tmp_path: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(specialized(tmp_path).path, providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == ["x", "state", "rate", "loud"]
    source = outputs_of(tmp_path / "m.onnx", voice_feeds())
    alike(dict(zip(source, session.run(None, voice_feeds()), strict=True)), source)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"rate": np.array(8000)}, "8000 instead of 16000"),
        ({"rate": np.array(16000, np.int32)}, "int32 instead of int64"),
        ({"rate": np.array([16000])}, "shape [1] instead of []"),
        ({"loud": np.array(False)}, "False instead of True"),
        ({"x": np.zeros((1, 7), np.float32)}, "float32[1, 7] instead of x: float32[1, 6]"),
        ({"state": np.zeros((2, 2, 4), np.float32)}, "float32[2, 2, 4] instead of state: float32[2, 1, 4]"),
    ],
)
def test_a_feed_of_anything_else_is_an_error(change: Mapping[str, Array], told: str, tmp_path: Path) -> None:
    made = specialized(tmp_path)
    with open_session(in_runtime(made)) as session:
        session.run(voice_feeds())
        with pytest.raises(ModelError) as caught:
            session.run({**voice_feeds(), **change})
    assert told in str(caught.value)
    assert "what it is fixed to: batch: 1, time: 6, rate: int64[] = 16000, loud: bool[] = True" in str(caught.value)


@needed
def test_openvino_takes_it_and_refuses_other_feeds(tmp_path: Path) -> None:
    made = specialized(tmp_path)
    with open_session(in_openvino(made)) as session:
        alike(session.run(voice_feeds()), outputs_of(tmp_path / "m.onnx", voice_feeds()))
        with pytest.raises(ModelError, match="8000 instead of 16000"):
            session.run(voice_feeds(rate=8000))


def later(model: Model, name: str, config: dict[str, Any], tmp_path: Path) -> Model:
    """Run a pass as the pipeline does, with its checks."""
    data, out, pass_ = dataset(voice_samples(), tmp_path), fresh(tmp_path, "later"), table()[name]
    context = Context(out, Target(threads=1), Objective.SIZE, PLAIN_X86, data, data)
    made = execute(pass_, in_runtime(model), pass_.config(**config), context, RuntimeOptions(threads=1))
    assert "refused" not in made, made
    return open_onnx(out / made["path"])


WEIGHED = """
weighed (float[batch, 6] x, float[2, batch, 4] state, int64 rate, bool loud)
   => (float[batch, 6] y, float[2, batch, 4] next) <float[6, 6] w = {WEIGHTS}, float half = {0.5}> {
  next = Add(state, half)
  h = MatMul(x, w)
  y = If(loud) <then_branch = c () => (float[batch, 6] t) { t = Relu(h) },
                else_branch = d () => (float[batch, 6] t) { t = Identity(h) }>
}
""".replace("WEIGHTS", ", ".join(f"{value:.4f}" for value in np.random.default_rng(0).standard_normal(36)))


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("simplify", {}), ("fuse", {}), ("fuse", {"level": "basic"}), ("quantize", {"mode": "static"}),
        ("quantize", {"mode": "dynamic"}), ("quantize", {"mode": "weight_only"}), ("fp16", {"seconds": 5}),
    ],
)  # fmt: skip
def test_later_passes_keep_what_is_fixed(name: str, config: dict[str, Any], tmp_path: Path) -> None:
    fixed = specialized(tmp_path, {"dims": {"batch": 1}, "inputs": {"rate": 16000, "loud": True}}, WEIGHED)
    made = later(fixed, name, config, tmp_path)
    assert (made.inputs, made.outputs, made.sizes) == (fixed.inputs, fixed.outputs, fixed.sizes)
    with open_session(in_runtime(made)) as session, pytest.raises(ModelError, match="8000 instead of 16000"):
        session.run(voice_feeds(rate=8000))


def test_the_framework_takes_it_for_what_it_declares(tmp_path: Path) -> None:
    source = written(tmp_path / "m.onnx")
    made = later(source, "specialize", ALL, tmp_path)
    assert made.fixed == {"rate": 16000, "loud": True}


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"dims": {"bacth": 1}}, "the model has no size 'bacth'"),
        ({"dims": {"bacth": 1}}, "did you mean 'batch'?"),
        ({"dims": {"x_0": 1}}, "it is called 'batch'"),
        ({"dims": {"state_0": 3}}, "'state_0' is fixed already"),
        ({"inputs": {"raet": 1}}, "did you mean 'rate'?"),
        ({"inputs": {"y": 1}}, "the model has no input 'y'"),
        ({"inputs": {"rate": "16000"}}, "it holds text ('16000'), and the input is int64"),
        ({"inputs": {"rate": 16000.0}}, "it holds a number (16000.0), and the input is int64"),
        ({"inputs": {"rate": True}}, "it holds a bool (True), and the input is int64"),
        ({"inputs": {"rate": 2**63}}, "int64 goes from"),
        ({"inputs": {"loud": 1}}, "it holds a whole number (1), and the input is bool"),
        ({"inputs": {"rate": [16000]}}, "it has 1 axes, and the input has 0"),
        ({"inputs": {"x": 0}}, "the size 'batch' is not fixed: fix it in `dims`, too"),
        ({"inputs": {"x": [[1, 2]]}, "dims": {"batch": 1, "time": 6}}, "it has the shape [1, 2]"),
        ({"inputs": {"x": [[1, 2], [3]]}, "dims": {"batch": 1, "time": 6}}, "not of one length"),
        ({"inputs": {"x": 1e39}, "dims": {"batch": 1, "time": 6}}, "float32 goes from"),
        ({"inputs": {"x": 10**400}, "dims": {"batch": 1, "time": 6}}, "float32 goes from"),
    ],
)  # fmt: skip
def test_what_cannot_be_fixed_is_refused(config: dict[str, Any], told: str, tmp_path: Path) -> None:
    assert told in refusal(tmp_path, config)


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    told = refusal(tmp_path, {"dims": {"a": 1, "b": 2}, "inputs": {"c": 3}})
    assert [f"'{name}'" in told for name in "abc"] == [True] * 3


@pytest.mark.parametrize(
    "config", [{}, {"dims": {}}, {"dims": {"batch": 0}}, {"dims": {"batch": True}}, {"inputs": {"rate": {}}},
               {"inputs": {"rate": None}}, {"inputs": {"rate": [{}]}}, {"sizes": {"batch": 1}}],
)  # fmt: skip
def test_what_makes_no_sense_for_any_model_is_no_configuration(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SpecializeConfig.model_validate_json(json.dumps(config), strict=True)


def test_what_is_fixed_cannot_be_fixed_otherwise_and_need_not_be_again(tmp_path: Path) -> None:
    made = specialized(tmp_path)
    with pytest.raises(PassError, match="'batch' is fixed already"):
        run_pass(PASS, made, {"dims": {"batch": 2}}, tmp_path)
    with pytest.raises(PassError, match="input 'rate' is fixed already"):
        run_pass(PASS, made, {"inputs": {"rate": 8000}}, tmp_path)
    assert run_pass(PASS, made, ALL, tmp_path) == Refusal("the model is fixed to all of this already")


def test_more_can_be_fixed_later(tmp_path: Path) -> None:
    first = specialized(tmp_path, {"dims": {"batch": 1}, "inputs": {"rate": 16000}})
    second = open_onnx(applied(run_pass(PASS, first, {"dims": {"time": 6}, "inputs": {"loud": True}}, tmp_path)).path)
    assert (second.sizes, second.fixed) == ((("batch", 1), ("time", 6)), {"rate": 16000, "loud": True})
    alike(outputs_of(second, voice_feeds()), outputs_of(tmp_path / "m.onnx", voice_feeds()))


def sums(path: Path) -> Model:
    """y = [before x] * mask, whose sizes are sums; z has as many values as the data say."""
    value, total = helper.make_tensor_value_info, "past + length"
    nodes = [
        helper.make_node("Concat", ["before", "x"], ["joined"], axis=1),
        helper.make_node("Mul", ["joined", "mask"], ["y"]),
        helper.make_node("Compress", ["mask", "keep"], ["z"]),
    ]
    graph = helper.make_graph(
        nodes, "sums",
        [value("before", 1, ["batch", "past"]), value("x", 1, ["batch", "length"]), value("mask", 1, [total]),
         value("keep", 9, [total])],
        [value("y", 1, ["batch", total]), value("z", 1, ["found"])],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return open_onnx(path)


def test_sums_of_fixed_sizes_are_fixed(tmp_path: Path) -> None:
    source = sums(tmp_path / "m.onnx")
    made = open_onnx(applied(run_pass(PASS, source, {"dims": {"past": 3, "length": 1}}, tmp_path)).path)
    assert [spec.shape for spec in made.inputs] == [("batch", 3), ("batch", 1), (4,), (4,)]
    assert [spec.shape for spec in made.outputs] == [("batch", 4), ("found",)]
    half = open_onnx(applied(run_pass(PASS, source, {"dims": {"past": 3}}, tmp_path)).path)
    assert half.inputs[2].shape == ("past + length",)
    with pytest.raises(PassError, match="fixed at two sizes"):
        run_pass(PASS, source, {"dims": {"past": 3, "length": 1, "past + length": 5}}, tmp_path)
    with pytest.raises(PassError, match="only outputs have a size 'found'"):
        run_pass(PASS, source, {"dims": {"found": 3}}, tmp_path)


def test_an_input_with_a_default_is_fixed_at_that_alone(tmp_path: Path) -> None:
    source = written(tmp_path / "m.onnx", "g (float[n] x, float k) => (float[n] y) <float k = {2}> { y = Mul(x, k) }")
    proto = onnx.load(source.path)
    if not any(value.name == "k" for value in proto.graph.input):
        proto.graph.input.append(helper.make_tensor_value_info("k", 1, []))
        onnx.save(proto, source.path)
    source = open_onnx(source.path)
    assert source.defaults == ("k",)
    with pytest.raises(PassError, match=r"input 'k' has a default in the model(.|\n)*3.0 instead of 2.0"):
        run_pass(PASS, source, {"inputs": {"k": 3}}, tmp_path)
    made = open_onnx(applied(run_pass(PASS, source, {"inputs": {"k": 2}}, tmp_path)).path)
    assert (made.defaults, [spec.name for spec in made.inputs]) == ((), ["x"])
    np.testing.assert_array_equal(outputs_of(made, {"x": np.float32([1, 2])})["y"], [2, 4])


def test_one_number_fills_an_input_and_a_list_is_its_value(tmp_path: Path) -> None:
    text = "g (float[n, 2] x, float[n, 2] a, float[2] b) => (float[n, 2] y) { s = Add(x, a) y = Mul(s, b) }"
    config = {"dims": {"n": 3}, "inputs": {"a": 1, "b": [2, 0.5]}}
    made = specialized(tmp_path, config, text)
    assert [str(spec) for spec in made.inputs[1:]] == ["a: float32[3, 2] = 1", "b: float32[2] = (2, 0.5)"]
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    feeds = {"x": x, "a": np.ones((3, 2), np.float32), "b": np.float32([2, 0.5])}
    np.testing.assert_array_equal(outputs_of(made, feeds)["y"], (x + 1) * np.float32([2, 0.5]))
    with pytest.raises(ModelError, match=r"3.0 at \[1, 0\] instead of 1.0"):
        outputs_of(made, feeds | {"a": np.float32([[1, 1], [3, 1], [1, 1]])})


def test_a_text_is_a_value(tmp_path: Path) -> None:
    text = """g (float[n] x, string[1] language) => (float[n] y) <string[1] here = {"de"}, int64[1] all = {0}> {
        same = Equal(language, here)
        one = ReduceMin<keepdims = 0>(same_i)
        is_one = Cast<to = 9>(one)
        y = If(is_one) <then_branch = t () => (float[n] o) { o = Neg(x) },
                        else_branch = e () => (float[n] o) { o = Abs(x) }>
    }""".replace("one = Reduce", "same_i = Cast<to = 7>(same)\n        one = Reduce")
    made = specialized(tmp_path, {"inputs": {"language": "de"}}, text)
    assert operators(read_graph(made.path).graph) == {"Neg": 1}
    feeds = {"x": np.float32([1, -2]), "language": np.array(["de"])}
    np.testing.assert_array_equal(outputs_of(made, feeds)["y"], [-1, 2])
    with open_session(in_runtime(made)) as session:
        session.run({**feeds, "language": np.array(["de"], object)})
        with pytest.raises(ModelError, match=r"en at \[0\] instead of de"):
            session.run({**feeds, "language": np.array(["en"])})


def test_constants_that_old_models_list_as_inputs_are_none(tmp_path: Path) -> None:
    source = written(tmp_path / "m.onnx", "g (float[n] x, float k) => (float[n] y) { y = Mul(x, k) }")
    proto = onnx.load(source.path)
    proto.graph.initializer.append(numpy_helper.from_array(np.float32([3]), "w"))
    proto.graph.input.append(helper.make_tensor_value_info("w", 1, [1]))
    proto.graph.node[0].output[0] = "h"
    proto.graph.node.append(helper.make_node("Add", ["h", "w"], ["y"]))
    proto.ir_version = 3
    onnx.save(proto, source.path)
    made = open_onnx(applied(run_pass(PASS, source.path, {"inputs": {"k": 2}}, tmp_path)).path)
    feeds = {"x": np.float32([1, 2]), "k": np.array(2, np.float32)}
    np.testing.assert_array_equal(outputs_of(made, feeds)["y"], [5, 7])


def test_what_the_file_says_of_itself_stays(tmp_path: Path) -> None:
    source = written(tmp_path / "m.onnx")
    proto = onnx.load(source.path)
    proto.producer_name, proto.doc_string, proto.graph.name = "somebody", "a voice", "g"
    proto.metadata_props.add(key="author", value="me")
    onnx.save(proto, source.path)
    after = onnx.load(applied(run_pass(PASS, source.path, ALL, tmp_path)).path)
    assert (after.producer_name, after.doc_string, after.graph.name) == ("somebody", "a voice", "g")
    assert [entry.key for entry in after.metadata_props] == ["author", KEY]


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    source = written(tmp_path / "m.onnx")
    first, second = (applied(run_pass(PASS, source, ALL, tmp_path)).path.read_bytes() for _ in range(2))
    assert first == second


def test_what_is_too_large_for_one_file_goes_into_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = np.random.default_rng(0).standard_normal((6, 4000)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Mul", ["h", "k"], ["y"])]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "g", [value("x", 1, ["n", 6]), value("k", 1, [])], [value("y", 1, ["n", 4000])],
        [numpy_helper.from_array(weights, "w")],
    )  # fmt: skip
    source = tmp_path / "source" / "m.onnx"
    source.parent.mkdir()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, source, save_as_external_data=True, location="w.bin")
    feeds = {"x": np.ones((2, 6), np.float32), "k": np.array(3, np.float32)}
    for limit in (0, onnx_graph.EXTERNAL_DATA_ABOVE):
        monkeypatch.setattr("mlopt.passes.specialize.EXTERNAL_DATA_ABOVE", limit)
        made = applied(run_pass(PASS, source, {"dims": {"n": 2}, "inputs": {"k": 3}}, tmp_path))
        files = sorted(file.name for file in made.path.parent.iterdir())
        assert files == (["model.onnx", "model.onnx.data"] if limit == 0 else ["model.onnx"])
        alike(outputs_of(made.path, feeds), outputs_of(source, feeds))


def test_a_sparse_constant_stays(tmp_path: Path) -> None:
    source = written(tmp_path / "m.onnx", "g (float[n, 2] x, float k) => (float[n, 2] y) { y = Mul(x, k) }")
    proto = onnx.load(source.path)
    values, places = numpy_helper.from_array(np.float32([5]), "w"), numpy_helper.from_array(np.array([1]), "w_i")
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [2, 2]))
    proto.graph.node[0].output[0] = "h"
    proto.graph.node.append(helper.make_node("MatMul", ["h", "w"], ["y"]))
    onnx.save(proto, source.path)
    feeds = {"x": np.float32([[1, 2]]), "k": np.array(2, np.float32)}
    made = applied(run_pass(PASS, source.path, {"inputs": {"k": 2}}, tmp_path))
    alike(outputs_of(made.path, feeds), outputs_of(source.path, feeds))
