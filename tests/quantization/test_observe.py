"""Ranges from samples, in chunks, without noise on standard output."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from quantization_models import FLOAT, cnn, random, write

from mlopt.data.dataset import Dataset, Samples, store
from mlopt.onnx_file import open_onnx
from mlopt.quantization.graph import prepare
from mlopt.quantization.observe import Calibration, absolute_maxima, observe, outputs, quiet, refusal, same_outputs


def images(folder: Path, count: int) -> Dataset:
    return store(Samples({"image": random(count, 3, 8, 8)}), folder / "images", "test")


@pytest.mark.parametrize("batch", ["batch", 1, 3])
def test_min_max_is_that_of_all_samples_whatever_the_batch(tmp_path: Path, batch: int | str) -> None:
    model = open_onnx(cnn(tmp_path / "m.onnx", batch=batch))
    data = images(tmp_path, 11)
    seen = observe(prepare(model, tmp_path), data, model.inputs)["image"].range_value
    whole = data.inputs["image"]
    assert [float(np.min(seen[0])), float(np.max(seen[1]))] == [float(whole.min()), float(whole.max())]


@pytest.mark.parametrize("method", [Calibration.PERCENTILE, Calibration.ENTROPY])
def test_histograms_cut_the_tails_and_print_nothing(
    tmp_path: Path, method: Calibration, capsys: pytest.CaptureFixture[str]
) -> None:
    model = open_onnx(cnn(tmp_path / "m.onnx"))
    data = images(tmp_path, 6)
    low, high = observe(prepare(model, tmp_path), data, model.inputs, method=method, op_types=["Conv"])[
        "image"
    ].range_value
    assert data.inputs["image"].min() <= low < 0 < high <= data.inputs["image"].max()
    assert capsys.readouterr().out == ""


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
