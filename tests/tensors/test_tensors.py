"""Two models tensor by tensor: what is matched, what is measured, and which node is named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from deployables import in_runtime
from onnx import helper
from pass_runs import applied, dataset, run_pass
from planted_fault import FAULTY_TENSOR, planted, samples
from quantization_models import FLOAT, INT64, Port, branching, encoder, random, write

import mlopt.tensors
from mlopt.core.errors import MeasureError
from mlopt.formats.model import Model
from mlopt.formats.onnx.file import open_onnx, read_graph
from mlopt.passes import fuse
from mlopt.passes.quantize import PASS as QUANTIZE
from mlopt.runtimes.base import Array
from mlopt.tensors import (
    TensorComparison,
    TensorDifference,
    compare_models,
    compare_tensors,
    first_divergence,
    is_abrupt,
)
from mlopt.tensors.graph import counterparts, exposed

Compare = Callable[..., TensorComparison]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The network with the planted fault, in FP32 and in static INT8."""
    folder = tmp_path_factory.mktemp("planted")
    source = planted(folder / "fp32.onnx")
    return source, _static(source, folder)


def _static(source: Path, folder: Path) -> Path:
    result = run_pass(QUANTIZE, source, {"mode": "static"}, folder, calibration=samples(16, 7), samples=samples(2, 9))
    return applied(result).path


@pytest.fixture
def compare(tmp_path: Path) -> Compare:
    def run(a: Path, b: Path, arrays: dict[str, Array]) -> TensorComparison:
        data = dataset(arrays, tmp_path)
        assert data is not None
        return compare_models(in_runtime(open_onnx(a)), in_runtime(open_onnx(b)), data)

    return run


def by_name(found: TensorComparison) -> dict[str, TensorDifference]:
    return {one.tensor: one for one in found.differences}


def test_the_planted_fault_is_named_although_the_tensor_as_a_whole_looks_right(
    pair: tuple[Path, Path], compare: Compare
) -> None:
    found = compare(*pair, samples(8, 100))
    first = first_divergence(found.differences)
    assert first is not None
    assert (first.node, first.op_type, first.tensor) == ("conv2", "Conv", FAULTY_TENSOR)
    assert first.sqnr_db is not None
    assert first.sqnr_db > 25
    assert first.channel_db is not None
    assert first.channel_db < 3
    assert is_abrupt(first, found.differences)
    assert [one.tensor for one in found.differences] == ["r1", "c2", "r3", "r4", "p", "f", "logits"]
    assert found.tensors == 10
    assert by_name(found)["logits"].is_output
    assert by_name(found)["r3"].reads == ("c2",)


def test_without_the_fault_nothing_diverges(tmp_path: Path, compare: Compare) -> None:
    source = planted(tmp_path / "fp32.onnx", fault=False)
    found = compare(source, _static(source, tmp_path), samples(8, 100))
    assert first_divergence(found.differences) is None
    assert all(one.cosine > 0.99 for one in found.differences)


def test_what_is_looked_at_stays_computed_in_integers(pair: tuple[Path, Path], tmp_path: Path) -> None:
    import onnxruntime

    reference, quantized = (read_graph(path) for path in pair)
    views = [view for _, view in counterparts(reference.graph, quantized.graph).values()]
    assert {"r1_DequantizeLinear_Output", "c2_DequantizeLinear_Output"} <= {view.name for view in views}
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 4
    before = quantized.SerializeToString()
    onnxruntime.InferenceSession(exposed(quantized, views), options, providers=["CPUExecutionProvider"])
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)
    assert (kinds["QLinearConv"], kinds["Conv"]) == (4, 0)
    assert quantized.SerializeToString() == before


def test_integers_of_fused_operators_are_dequantized(pair: tuple[Path, Path], compare: Compare, tmp_path: Path) -> None:
    source, quantized = pair
    fused = applied(run_pass(fuse.PASS, quantized, {}, tmp_path, samples=samples(2, 9))).path
    assert "QLinearConv" in {node.op_type for node in read_graph(fused).graph.node}
    before, after = (by_name(compare(source, other, samples(4, 100))) for other in (quantized, fused))
    assert {"r1", "c2", "r3", "r4", "logits"} <= set(after)
    for name, one in after.items():
        assert one.sqnr_db == pytest.approx(before[name].sqnr_db, abs=1.0)


def test_dynamic_int8_keeps_every_name(tmp_path: Path, compare: Compare) -> None:
    source = encoder(tmp_path / "fp32.onnx")
    feeds: dict[str, Array] = {"ids": np.arange(32).reshape(4, 8), "offset": random(4, 8, 16)}
    quantized = applied(run_pass(QUANTIZE, source, {"mode": "dynamic"}, tmp_path, samples=feeds)).path
    found = compare(source, quantized, feeds)
    assert [one.tensor for one in found.differences] == ["e", "o", "h", "t", "y", "m", "z"]
    assert found.tensors == 7
    assert all(one.sqnr_db is not None for one in found.differences)
    assert first_divergence(found.differences, 5.0) is None


def test_a_model_equals_itself_however_it_is_cut_into_chunks(
    pair: tuple[Path, Path], compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, quantized = pair
    same = compare(source, source, samples(2, 1))
    assert {one.sqnr_db for one in same.differences} == {None}
    assert {one.cosine for one in same.differences} == {1.0}
    whole = compare(source, quantized, samples(2, 1))
    monkeypatch.setattr(mlopt.tensors, "_AT_ONCE", 3)
    assert compare(source, quantized, samples(2, 1)) == whole


def chain(path: Path, factors: tuple[float, ...], *, output: str = "y", batch: int | str = "batch") -> Path:
    """``x [batch, 4]`` times one factor after the other: t0, t1, ..., and the output; and an integer output."""
    names = [*(f"t{number}" for number in range(len(factors) - 1)), output]
    sources = ["x", *names]
    nodes = [
        helper.make_node("Mul", [sources[number], f"f{number}"], [name], name=f"mul{number}")
        for number, name in enumerate(names)
    ]
    nodes.append(helper.make_node("ArgMax", [output], ["class"], name="class", axis=1, keepdims=0))
    weights = {f"f{number}": np.array(factor, np.float32) for number, factor in enumerate(factors)}
    outputs: list[Port] = [(output, FLOAT, [batch, 4]), ("class", INT64, [batch])]
    return write(path, nodes, weights, [("x", FLOAT, [batch, 4])], outputs)


X = {"x": np.array([[1, 2, 3, -4], [4, 3, 2, -1]], np.float32)}


def test_infinity_in_one_of_the_two_is_found_where_it_arises(tmp_path: Path, compare: Compare) -> None:
    a = chain(tmp_path / "a.onnx", (2.0, 1e30, 1e-30))
    b = chain(tmp_path / "b.onnx", (2.0, float("inf"), 1e-30))
    found = compare(a, b, X)
    first = first_divergence(found.differences)
    assert first is not None
    assert (first.node, first.broken) == ("mul1", 8)
    assert by_name(found)["t0"].sqnr_db is None


def test_outputs_that_are_no_floats_and_outputs_with_other_names_are_compared(tmp_path: Path, compare: Compare) -> None:
    a = chain(tmp_path / "a.onnx", (1.0, 2.0))
    b = chain(tmp_path / "b.onnx", (1.0, -2.0), output="renamed")
    found = by_name(compare(a, b, X))
    assert found["y"].other == "renamed"
    assert found["y"].cosine == pytest.approx(-1.0)
    assert (found["class"].max_abs, found["class"].max_rel) == (1.0, 1.0)


def test_external_weights_stay_where_they_are(tmp_path: Path, compare: Compare, pair: tuple[Path, Path]) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    onnx.save(onnx.load(pair[0]), folder / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    before = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    found = compare(folder / "m.onnx", pair[0], samples(2, 1))
    assert {one.sqnr_db for one in found.differences} == {None}
    assert {file.name: file.stat().st_mtime_ns for file in folder.iterdir()} == before


def test_bodies_of_if_are_not_looked_into_and_that_is_said(tmp_path: Path, compare: Compare) -> None:
    model = branching(tmp_path / "m.onnx")
    found = compare(model, model, {"x": random(2, 3, 4, 4)})
    assert set(by_name(found)) == {"c", "s", "y"}
    assert by_name(found)["y"].reads == ("c", "s")  # s through the condition
    assert found.notes == ("m.onnx: the bodies of If are not looked into",)


def test_what_cannot_be_compared_is_one_error(tmp_path: Path, compare: Compare, pair: tuple[Path, Path]) -> None:
    a = chain(tmp_path / "a.onnx", (1.0, 2.0))
    with pytest.raises(MeasureError, match="only models with the same inputs"):
        compare(a, pair[0], X)
    node = helper.make_node("Neg", ["x"], ["other"])
    other = write(tmp_path / "o.onnx", [node], {}, [("x", FLOAT, ["n", 4])], [("other", FLOAT, ["n", 4])])
    with pytest.raises(MeasureError, match="no tensor in common"):
        compare(a, other, X)
    ones, twos = (chain(tmp_path / f"{size}.onnx", (1.0, 2.0), batch=size) for size in (1, 2))
    with pytest.raises(MeasureError, match="different numbers of samples"):
        compare(ones, twos, X)
    assert len(compare(a, twos, X).differences) == 3


def test_tensors_of_another_shape_are_left_out_and_named(tmp_path: Path, compare: Compare) -> None:
    a = chain(tmp_path / "a.onnx", (1.0, 2.0))
    proto = onnx.load(a)
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.ones((2, 1, 1), np.float32), "f0"))
    proto.graph.node[1].CopyFrom(helper.make_node("ReduceMax", ["t0", "f1"], ["y"], name="mul1", keepdims=0))
    proto.graph.initializer[1].CopyFrom(onnx.numpy_helper.from_array(np.array([0]), "f1"))
    onnx.save(proto, tmp_path / "b.onnx")
    found = compare(a, tmp_path / "b.onnx", X)
    assert found.notes == ("'t0' is [1, 4] in one model and [2, 1, 4] in the other",)
    assert "t0" not in by_name(found)


def difference(name: str, db: float | None, *reads: str, broken: int = 0) -> TensorDifference:
    return TensorDifference(
        name, f"node {name}", "Op", name, db, db, cosine=0.9, max_abs=1.0, max_rel=0.1, broken=broken,
        is_output=False, reads=reads,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("levels", "named"),
    [
        ((60, 40, 30, 25), None),
        ((60, 35, 5, 5), "c"),
        ((16, 14, 12, 9), "d"),
        ((16, 9, 8, -3), "d"),
        ((None, 9.9, 9.9, 9.9), "b"),
    ],
    ids=["nothing", "a fall", "building up", "a fall below what built up", "from exact"],
)
def test_the_first_divergence_is_a_fall_or_else_the_first_below_the_threshold(
    levels: tuple[float | None, ...], named: str | None
) -> None:
    chained = [difference(name, level, before) for name, before, level in zip("abcd", "?abc", levels, strict=True)]
    chained[0] = replace(chained[0], reads=())
    first = first_divergence(chained)
    assert (first and first.tensor) == named


def test_a_node_after_a_broken_one_is_not_at_fault() -> None:
    first = first_divergence([difference("a", None), difference("b", 50, "a", broken=3), difference("c", -5, "b")])
    assert first is not None
    assert first.tensor == "b"


def test_the_short_form_gives_the_differences_alone(pair: tuple[Path, Path], tmp_path: Path) -> None:
    data = dataset(samples(3, 1), tmp_path)
    assert data is not None
    models: list[Model] = [open_onnx(path) for path in pair]
    whole = compare_models(in_runtime(models[0]), in_runtime(models[1]), data, limit=2)
    assert whole.samples == 2
    assert compare_tensors(in_runtime(models[0]), in_runtime(models[1]), data, limit=2) == whole.differences


def normalized(path: Path, *, folded: bool, factor: float = 1.0) -> Path:
    """Conv, BatchNormalization, Relu, Conv; ``folded`` into the first Conv, whose output keeps its name."""
    node = helper.make_node
    scale, shift = np.float32([2, -3, 0.5, 4]), np.float32([0.1, 0.2, -0.3, 0.4])
    weight = random(4, 3, 1, 1, seed=1)
    if folded:
        first = [node("Conv", ["x", "w", "b"], ["c"], name="one"), node("Relu", ["c"], ["r"], name="relu")]
        weights = {"w": weight * scale.reshape(4, 1, 1, 1) * np.float32(factor), "b": shift}
    else:
        first = [
            node("Conv", ["x", "w"], ["c"], name="one"),
            node("BatchNormalization", ["c", "s", "t", "zero", "one_"], ["n"], name="norm", epsilon=0.0),
            node("Relu", ["n"], ["r"], name="relu"),
        ]
        weights = {"w": weight, "s": scale, "t": shift, "zero": np.zeros(4, np.float32), "one_": np.ones(4, np.float32)}
    weights["v"] = random(2, 4, 1, 1, seed=2)
    ports = [("x", FLOAT, ["b", 3, 4, 4])], [("y", FLOAT, ["b", 2, 4, 4])]
    return write(path, [*first, node("Conv", ["r", "v"], ["y"], name="two")], weights, *ports)


def test_what_is_folded_into_a_node_is_compared_as_what_it_computes_then(tmp_path: Path, compare: Compare) -> None:
    a, data = normalized(tmp_path / "a.onnx", folded=False), {"x": random(4, 3, 4, 4)}
    found = compare(a, normalized(tmp_path / "b.onnx", folded=True), data)
    assert {one.tensor: one.other for one in found.differences} == {"n": "c", "r": "r", "y": "y"}
    assert first_divergence(found.differences) is None
    assert min(one.sqnr_db or np.inf for one in found.differences) > 100


def test_a_fault_in_what_was_folded_is_found_all_the_same(tmp_path: Path, compare: Compare) -> None:
    a, data = normalized(tmp_path / "a.onnx", folded=False), {"x": random(4, 3, 4, 4)}
    found = compare(a, normalized(tmp_path / "b.onnx", folded=True, factor=-1.0), data)
    first = first_divergence(found.differences)
    assert first is not None
    assert first.node in {"one", "norm"}


def test_what_was_fused_with_what_follows_is_compared_as_it_is(tmp_path: Path, compare: Compare) -> None:
    """A bias that goes into a later node leaves the product before it what it was."""
    node = helper.make_node
    nodes = [node("MatMul", ["x", "w"], ["a"], name="product"), node("Add", ["a", "b"], ["s"], name="bias"),
             node("Relu", ["s"], ["y"], name="relu")]  # fmt: skip
    fused = [nodes[0], node("Add", ["a", "b"], ["inner"], name="other"), node("Relu", ["inner"], ["y"], name="relu")]
    weights = {"w": random(4, 4), "b": random(4, seed=1)}
    ports = [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])]
    paths = [write(tmp_path / name, each, weights, *ports) for name, each in (("a.onnx", nodes), ("b.onnx", fused))]
    found = by_name(compare(*paths, {"x": random(4, 4)}))
    assert {name: one.other for name, one in found.items()} == {"a": "a", "y": "y"}
    assert found["a"].sqnr_db is None


def test_two_branches_into_one_sum_are_no_fold(tmp_path: Path, compare: Compare) -> None:
    """Of a residual block, the sum is computed from two tensors: neither stands for it."""
    node = helper.make_node
    nodes = [node("Conv", ["x", "w"], ["a"], name="one"), node("Conv", ["x", "v"], ["b"], name="two"),
             node("Add", ["a", "b"], ["s"], name="sum"), node("Relu", ["s"], ["r"], name="relu"),
             node("Conv", ["r", "u"], ["y"], name="last")]  # fmt: skip
    weights = {name: random(4, 4, 1, 1, seed=seed) for seed, name in enumerate("wvu")}
    ports = [("x", FLOAT, ["n", 4, 3, 3])], [("y", FLOAT, ["n", 4, 3, 3])]
    source, data = write(tmp_path / "a.onnx", nodes, weights, *ports), {"x": random(8, 4, 3, 3)}
    quantized = applied(run_pass(QUANTIZE, source, {"mode": "static"}, tmp_path, calibration=data)).path
    fused = applied(run_pass(fuse.PASS, quantized, {}, tmp_path, samples=data)).path
    for other in (source, quantized, fused):
        found = by_name(compare(source, other, data))
        assert found["y"].other == "y"
        assert first_divergence([*found.values()]) is None


def test_a_fault_that_looks_like_what_follows_is_not_hidden(tmp_path: Path, compare: Compare) -> None:
    """A product that saturates at 1 is nearer to its Tanh than to itself; but there still is a Tanh."""
    node = helper.make_node
    sound = [node("MatMul", ["x", "w"], ["c"], name="product"), node("Tanh", ["c"], ["t"], name="tanh"),
             node("MatMul", ["t", "v"], ["y"], name="out")]  # fmt: skip
    faulty = [node("MatMul", ["x", "w"], ["p"], name="product"), node("Clip", ["p", "low", "high"], ["c"], name="clip"),
              node("Tanh", ["c"], ["t2"], name="tanh"), node("MatMul", ["t2", "v"], ["y"], name="out")]  # fmt: skip
    weights = {"w": random(8, 8, scale=3), "v": random(8, 8, seed=1)}
    limits = {"low": np.float32(-1).reshape(()), "high": np.float32(1).reshape(())}
    ports = [("x", FLOAT, ["n", 8])], [("y", FLOAT, ["n", 8])]
    a = write(tmp_path / "a.onnx", sound, weights, *ports)
    b = write(tmp_path / "b.onnx", faulty, weights | limits, *ports)
    first = first_divergence(compare(a, b, {"x": random(16, 8)}).differences)
    assert first is not None
    assert first.node == "product"
