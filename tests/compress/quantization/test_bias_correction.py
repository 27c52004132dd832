"""Biases: quantized layers must be right on average."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from quantization_models import FLOAT, random, write

from mlopt.compress.quantization import graph as graph_module
from mlopt.compress.quantization.bias_correction import correct_means, correct_weights, input_means
from mlopt.compress.quantization.graph import prepare
from mlopt.compress.quantization.integers import IntegerJob, quantize
from mlopt.compress.quantization.observe import channel_means, observe
from mlopt.compress.quantization.scheme import Integers, Mode, Scheme
from mlopt.data.dataset import Samples, store
from mlopt.formats.onnx.file import open_onnx

NEVER = float("inf")
TENSORS = {"c1": 1, "c2": 1, "c3": 1}


def chain(path: Path) -> Path:
    """Three convolutions, the last two of which have no bias."""
    node = onnx.helper.make_node
    nodes = [
        node("Conv", ["image", "w1", "b1"], ["c1"], name="one"),
        node("Conv", ["c1", "w2"], ["c2"], name="two", group=2),
        node("Conv", ["c2", "w3"], ["c3"], name="three"),
    ]
    weights = {"w1": random(8, 3, 1, 1, seed=1), "b1": random(8, seed=2), "w2": random(8, 4, 1, 1, seed=3),
               "w3": random(4, 8, 1, 1, seed=4)}  # fmt: skip
    return write(path, nodes, weights, [("image", FLOAT, ["n", 3, 6, 6])], [("c3", FLOAT, ["n", 4, 6, 6])])


@pytest.mark.parametrize("external", [False, True])
@pytest.mark.parametrize("layers", [("one", "two", "three"), ("one", "three")])
def test_means_come_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, external: bool, layers: tuple[str, ...]
) -> None:
    if external:
        monkeypatch.setattr(graph_module, "EXTERNAL_DATA_ABOVE", 0)
    model = open_onnx(chain(tmp_path / "m.onnx"))
    data = store(Samples({"image": np.abs(random(16, 3, 6, 6, seed=9)) + 1}), tmp_path / "data", "data")
    (tmp_path / "work").mkdir()
    prepared = prepare(model, tmp_path / "work", minimum_opset=13)
    ranges = observe(prepared, data, model.inputs)
    out = tmp_path / "q.onnx"
    integers = Integers(Scheme.U8S8, reduce_range=True, reason="coarse weights, so that there is something to correct")
    job = IntegerJob(prepared, Mode.STATIC, integers, layers, per_channel=False, excluded={}, ranges=ranges)
    assert quantize(job, out).fault is None

    def error(path: Path) -> float:
        found: dict[str, Any] = channel_means(out, {_last(path): 1}, data, model.inputs, limit=16)
        wanted = channel_means(prepared.path, {"c3": 1}, data, model.inputs, limit=16)
        return float(np.abs(next(iter(found.values())) - wanted["c3"]).max())

    plain = error(out)
    means = input_means(prepared.path, ["one", "two", "three"], data, model.inputs)
    assert correct_weights(out, prepared.path, means, external=prepared.external) == len(layers)
    by_weights = error(out)
    assert correct_means(out, prepared.path, data, model.inputs, external=prepared.external, deadline=NEVER) > 0
    assert error(out) < 0.1 * plain
    assert by_weights < plain


@pytest.mark.parametrize("batch", ["n", 1, 2])
def test_a_sample_may_be_a_whole_input(tmp_path: Path, batch: int | str) -> None:
    model = onnx.load(chain(tmp_path / "m.onnx"))
    if isinstance(batch, int):
        for value in (model.graph.input[0], model.graph.output[0]):
            value.type.tensor_type.shape.dim[0].dim_value = batch
        onnx.save(model, tmp_path / "m.onnx")
    images = random(4, 3, 6, 6) + np.arange(3, dtype=np.float32).reshape(3, 1, 1)
    whole = images if batch == "n" else np.repeat(images[:, None], batch, axis=1)
    data = store(Samples({"image": whole}), tmp_path / "data", "data")
    means = input_means(tmp_path / "m.onnx", ["one"], data, open_onnx(tmp_path / "m.onnx").inputs)
    np.testing.assert_allclose(means["image"], images.mean(axis=(0, 2, 3)), rtol=1e-5)


def test_no_time_means_no_correction(tmp_path: Path) -> None:
    model = open_onnx(chain(tmp_path / "m.onnx"))
    data = store(Samples({"image": random(4, 3, 6, 6)}), tmp_path / "data", "data")
    (tmp_path / "work").mkdir()
    prepared = prepare(model, tmp_path / "work", minimum_opset=13)
    ranges = observe(prepared, data, model.inputs)
    integers = Integers(Scheme.U8S8, reduce_range=True, reason="")
    job = IntegerJob(prepared, Mode.STATIC, integers, ("one",), per_channel=True, excluded={}, ranges=ranges)
    assert quantize(job, tmp_path / "q.onnx").fault is None
    before = (tmp_path / "q.onnx").read_bytes()
    assert correct_means(tmp_path / "q.onnx", prepared.path, data, model.inputs, external=False, deadline=0.0) == 0
    assert (tmp_path / "q.onnx").read_bytes() == before


def _last(path: Path) -> str:
    """The tensor that the last convolution writes; at the graph's end it has another name."""
    nodes = onnx.load(path, load_external_data=False).graph.node
    return next(node.output[0] for node in nodes if node.name == "three")
