"""Ranges from samples, in chunks, without noise on standard output."""

from __future__ import annotations

import logging
import pickle
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from quantization_models import FLOAT, cnn, encoder, random, write

from mlopt.compress.quantization.graph import prepare
from mlopt.compress.quantization.observe import (
    absolute_maxima,
    channel_means,
    observe,
    outputs,
    quiet,
    refusal,
    same_outputs,
)
from mlopt.compress.quantization.settings import Calibration
from mlopt.core.cache import Store
from mlopt.data.choice import some
from mlopt.data.dataset import Dataset, Samples, store
from mlopt.formats.onnx.file import open_onnx


def fresh(folder: Path, name: str) -> Path:
    made = folder / f"{name}-folder"
    made.mkdir()
    return made


def value(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, FLOAT, None)


def images(folder: Path, count: int) -> Dataset:
    return store(Samples({"image": random(count, 3, 8, 8)}), folder / "images", "test")


@pytest.mark.parametrize("batch", ["batch", 1, 3])
def test_min_max_is_that_of_all_samples_whatever_the_batch(tmp_path: Path, batch: int | str) -> None:
    model = open_onnx(cnn(tmp_path / "m.onnx", batch=batch))
    data = images(tmp_path, 11)
    seen = observe(prepare(model, tmp_path), data, model.inputs)["image"].range_value
    whole = data.inputs["image"]
    assert [float(np.min(seen[0])), float(np.max(seen[1]))] == [float(whole.min()), float(whole.max())]


@pytest.mark.parametrize("method", list(Calibration))
def test_no_method_goes_beyond_what_was_seen_or_prints(
    tmp_path: Path, method: Calibration, capsys: pytest.CaptureFixture[str]
) -> None:
    model = open_onnx(cnn(tmp_path / "m.onnx"))
    data = images(tmp_path, 6)
    low, high = observe(prepare(model, tmp_path), data, model.inputs, method=method, op_types=["Conv"])[
        "image"
    ].range_value
    assert data.inputs["image"].min() <= low < 0 < high <= data.inputs["image"].max()
    assert capsys.readouterr().out == ""


def test_only_float_tensors_of_the_operators_asked_for_are_observed(tmp_path: Path) -> None:
    model = open_onnx(encoder(tmp_path / "m.onnx"))
    data = store(Samples({"ids": np.array([[1, 2]]), "offset": random(1, 2, 16)}), tmp_path / "d", "test")
    prepared = prepare(model, tmp_path)
    assert set(observe(prepared, data, model.inputs, op_types=["MatMul"])) == {"o", "h", "t", "y"}
    assert "offset" in observe(prepared, data, model.inputs, op_types=["Add"])
    assert "ids" not in observe(prepared, data, model.inputs)
    assert set(observe(prepared, data, model.inputs, op_types=["Conv"])) == set()


def test_a_tensor_that_is_always_empty_has_an_empty_range(tmp_path: Path) -> None:
    nodes = [helper.make_node("Slice", ["x", "zero", "zero", "one"], ["none"]), helper.make_node("Relu", ["x"], ["y"])]
    ends = {"zero": np.array([0]), "one": np.array([1])}
    ports = [("x", FLOAT, ["n", 2])], [("none", FLOAT, ["n", 0]), ("y", FLOAT, ["n", 2])]
    model = open_onnx(write(tmp_path / "m.onnx", nodes, ends, *ports))
    data = store(Samples({"x": random(3, 2)}), tmp_path / "d", "test")
    found = observe(prepare(model, tmp_path), data, model.inputs, method=Calibration.PERCENTILE)["none"]
    assert found.range_value == (0.0, 0.0)


def test_what_a_branch_reads_is_computed_too(tmp_path: Path) -> None:
    branch = helper.make_graph([helper.make_node("Neg", ["r"], ["b"])], "b", [], [value("b")])
    other = helper.make_graph([helper.make_node("Abs", ["r"], ["c"])], "c", [], [value("c")])
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0),
        helper.make_node("Cast", ["s"], ["positive"], to=TensorProto.BOOL),
        helper.make_node("If", ["positive"], ["i"], then_branch=branch, else_branch=other),
        helper.make_node("Exp", ["i"], ["y"]),
    ]
    model = open_onnx(write(tmp_path / "m.onnx", nodes, {}, [("x", FLOAT, ["n", 2])], [("y", FLOAT, ["n", 2])]))
    data = store(Samples({"x": np.array([[3.0, -1.0]], dtype=np.float32)}), tmp_path / "d", "test")
    assert set(channel_means(model.path, {"i": -1}, data, model.inputs, limit=1)["i"]) == {-3.0, 0.0}


def test_ranges_are_gathered_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = open_onnx(cnn(tmp_path / "m.onnx"))
    prepared, data, cache = prepare(model, tmp_path), images(tmp_path, 3), Store(tmp_path / "cache")
    percentile = Calibration.PERCENTILE
    first = observe(prepared, data, model.inputs, method=percentile, op_types=["Conv", "Gemm"], store=cache)
    runs: list[str] = []
    monkeypatch.setattr("mlopt.compress.quantization.observe.quiet_session", lambda *_: runs.append("run"))
    again = observe(
        prepared,
        data,
        model.inputs,
        method=percentile,
        op_types=["Gemm", "Conv"],
        store=pickle.loads(pickle.dumps(cache)),
    )
    assert runs == []
    assert {name: again[name].range_value for name in again} == {name: first[name].range_value for name in first}
    assert [group for group, _ in cache.entries()] == ["calibration"]
    assert cache.entries()[0][1].label == "percentile over 3 samples of test"


def test_other_samples_another_method_or_another_graph_are_observed_anew(tmp_path: Path) -> None:
    model = open_onnx(cnn(tmp_path / "m.onnx"))
    cache, data = Store(tmp_path / "cache"), images(tmp_path, 3)
    other_data = store(Samples({"image": random(2, 3, 8, 8, seed=5)}), tmp_path / "other", "test")
    older = prepare(open_onnx(cnn(tmp_path / "older.onnx", opset=17)), fresh(tmp_path, "older"))
    prepared = prepare(model, tmp_path)
    for graph, samples, method in (
        (prepared, data, Calibration.MINMAX), (prepared, other_data, Calibration.MINMAX),
        (prepared, data, Calibration.MOVING_AVERAGE), (older, data, Calibration.MINMAX),
    ):  # fmt: skip
        observe(graph, samples, model.inputs, method=method, store=cache)
    assert len(cache.entries()) == 4


def test_a_range_that_is_not_finite_survives_the_cache(tmp_path: Path) -> None:
    nodes = [helper.make_node("Log", ["x"], ["y"])]
    model = open_onnx(write(tmp_path / "m.onnx", nodes, {}, [("x", FLOAT, ["n", 2])], [("y", FLOAT, ["n", 2])]))
    data = store(Samples({"x": np.array([[0.0, 0.3]], dtype=np.float32)}), tmp_path / "d", "test")
    prepared, cache = prepare(model, tmp_path), Store(tmp_path / "cache")
    for _ in range(2):
        low, high = observe(prepared, data, model.inputs, store=cache)["y"].range_value
        assert (low, high) == (-np.inf, np.log(np.float32(0.3)))
        assert high.dtype == np.float32


def test_channel_means_are_those_of_the_outputs(tmp_path: Path) -> None:
    path = cnn(tmp_path / "m.onnx")
    model, data = open_onnx(path), images(tmp_path, 5)
    means = channel_means(path, {"logits": -1, "image": 1}, data, model.inputs, limit=4)
    rows = some(data, 4)
    logits = np.concatenate([outputs(path, {"image": data.inputs["image"][i : i + 1]})[0] for i in rows])
    assert means["logits"] == pytest.approx(logits.mean(axis=0), rel=1e-4)
    assert means["image"] == pytest.approx(data.inputs["image"][rows].mean(axis=(0, 2, 3)), rel=1e-4)
    assert list(tmp_path.glob("tmp*")) == []


def test_channel_means_of_no_tensor_are_none(tmp_path: Path) -> None:
    path = cnn(tmp_path / "m.onnx")
    assert channel_means(path, {}, images(tmp_path, 2), open_onnx(path).inputs, limit=2) == {}


def test_a_tensor_that_is_not_finite_has_no_finite_maximum(tmp_path: Path) -> None:
    nodes = [helper.make_node("Log", ["x"], ["l"]), helper.make_node("Exp", ["l"], ["y"])]
    model = open_onnx(write(tmp_path / "m.onnx", nodes, {}, [("x", FLOAT, ["n", 2])], [("y", FLOAT, ["n", 2])]))
    data = store(Samples({"x": np.array([[0.0, 1.0]], dtype=np.float32)}), tmp_path / "d", "test")
    maxima = absolute_maxima(observe(prepare(model, tmp_path), data, model.inputs))
    assert maxima == {"x": 1.0, "l": float("inf"), "y": 1.0}


def test_refusal_is_the_loaders_own_words(tmp_path: Path) -> None:
    path = cnn(tmp_path / "m.onnx")
    feeds = {"image": random(2, 3, 8, 8)}
    assert refusal(path, feeds) is None
    assert "Got invalid dimensions" in (refusal(path, {"image": random(2, 4, 8, 8)}) or "")
    path.write_bytes(path.read_bytes()[:100])
    assert refusal(path, None) is not None


def test_same_outputs_notices_another_weight(tmp_path: Path) -> None:
    a = cnn(tmp_path / "a.onnx")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    ports = [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])]
    b = write(tmp_path / "b.onnx", nodes, {"w": random(4, 4)}, *ports)
    c = write(tmp_path / "c.onnx", nodes, {"w": random(4, 4, seed=9)}, *ports)
    assert same_outputs(a, a, {"image": random(1, 3, 8, 8)})
    assert not same_outputs(b, c, {"x": random(2, 4)})


def test_quiet_leaves_logging_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    before = list(logging.getLogger().handlers)
    with quiet():
        sys.stdout.write("chatter")
        logging.warning("advice")  # noqa: LOG015 - what the quiet tool does
    assert logging.getLogger().handlers == before
    assert capsys.readouterr().out == ""


def test_outputs_without_samples_only_loads(tmp_path: Path) -> None:
    assert outputs(cnn(tmp_path / "m.onnx"), None) == []


def test_same_outputs_of_text_and_of_what_does_not_run(tmp_path: Path) -> None:
    nodes = [helper.make_node("Cast", ["x"], ["y"], to=8)]
    text = write(tmp_path / "t.onnx", nodes, {}, [("x", FLOAT, ["n", 2])], [("y", 8, ["n", 2])])
    assert same_outputs(text, text, {"x": random(3, 2)})
    assert not same_outputs(text, text, {"x": random(3, 3)})
    (tmp_path / "broken.onnx").write_bytes(text.read_bytes()[:40])
    assert not same_outputs(text, tmp_path / "broken.onnx", {"x": random(3, 2)})
