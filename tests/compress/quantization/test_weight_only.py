"""Weights in 4 and 8 bits: which nodes, how close, and what cannot be done."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from quantization_models import FLOAT, cosine, encoder, random, write

from mlopt.compress.quantization import weight_only
from mlopt.compress.quantization.graph import prepare
from mlopt.compress.quantization.observe import outputs
from mlopt.compress.quantization.prepared import WorkingCopy
from mlopt.compress.quantization.settings import Algorithm, WeightOnly
from mlopt.compress.quantization.weight_only import objection
from mlopt.data.dataset import Dataset, Samples, store
from mlopt.formats.onnx.file import open_onnx, read_graph

IDS = np.random.default_rng(0).integers(0, 100, (4, 6))
TEXT = {"ids": IDS, "offset": random(4, 6, 16)}
NODES = ("up", "down", "head")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return encoder(tmp_path / "m.onnx")


@pytest.fixture
def prepared(model: Path, tmp_path: Path) -> WorkingCopy:
    (tmp_path / "prepared").mkdir()
    return prepare(open_onnx(model), tmp_path / "prepared")


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    (tmp_path / "data").mkdir()
    return store(Samples(TEXT), tmp_path / "data", "test data")


SETTINGS = [
    (WeightOnly(bits=8), 0.999),
    (WeightOnly(bits=8, block_size=16, symmetric=False), 0.999),
    (WeightOnly(bits=4), 0.98),
    (WeightOnly(bits=4, symmetric=False), 0.98),
    pytest.param(
        WeightOnly(block_size=16, symmetric=False, algorithm=Algorithm.HQQ), 0.98, marks=pytest.mark.slow, id="hqq"
    ),  # it imports PyTorch
]


@pytest.mark.parametrize(("settings", "closest"), SETTINGS)
def test_matmul_and_gemm_are_stored_in_blocks(
    model: Path, prepared: WorkingCopy, data: Dataset, tmp_path: Path, settings: WeightOnly, closest: float
) -> None:
    out = tmp_path / "out.onnx"
    outcome = weight_only.write(prepared, out, settings, NODES, data, open_onnx(model).inputs)
    assert (outcome.quantized, dict(outcome.left), outcome.fault) == (frozenset(NODES), {}, None)
    graph = read_graph(out).graph
    blocks = [node for node in graph.node if node.op_type == "MatMulNBits"]
    assert len(blocks) == 3
    attributes = {a.name: helper.get_attribute_value(a) for a in blocks[0].attribute}
    assert (attributes["bits"], attributes["block_size"]) == (settings.bits, settings.block_size)
    assert {tensor.name for tensor in graph.initializer}.isdisjoint({"w1", "w2", "w3"})  # none is kept beside
    for got, expected in zip(outputs(out, TEXT), outputs(model, TEXT), strict=True):
        assert cosine(got, expected) > closest


def test_only_the_named_nodes_change(model: Path, prepared: WorkingCopy, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    outcome = weight_only.write(prepared, out, WeightOnly(bits=8), ["down"], None, open_onnx(model).inputs)
    assert outcome.quantized == {"down"}
    kinds = {node.name: node.op_type for node in read_graph(out).graph.node}
    assert (kinds["up"], kinds["head"], kinds["embed"]) == ("MatMul", "Gemm", "Gather")


def test_what_is_no_plain_product_is_left_with_the_reason(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "batched"], ["h"], name="batched"),
        helper.make_node("MatMul", ["h", "w"], ["y"], name="plain"),
    ]
    weights = {"batched": random(2, 32, 32), "w": random(32, 16, seed=1)}
    ports = [("x", FLOAT, [2, "n", 32])], [("y", FLOAT, [2, "n", 16])]
    path = write(tmp_path / "b.onnx", nodes, weights, *ports)
    folder = tmp_path / "work"
    folder.mkdir()
    handle = open_onnx(path)
    outcome = weight_only.write(
        prepare(handle, folder), tmp_path / "out.onnx", WeightOnly(), ["batched", "plain"], None, handle.inputs
    )
    assert outcome.quantized == {"plain"}
    assert dict(outcome.left) == {"batched": "no plain product with a constant matrix"}


def test_the_same_weights_give_the_same_bytes(model: Path, prepared: WorkingCopy, tmp_path: Path) -> None:
    paths = [tmp_path / "a.onnx", tmp_path / "b.onnx"]
    for path in paths:
        weight_only.write(prepared, path, WeightOnly(), NODES, None, open_onnx(model).inputs)
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (WeightOnly(block_size=8), "block_size is 8, and onnxruntime's kernels take powers of two from 16 on"),
        (WeightOnly(block_size=48), "block_size is 48, and onnxruntime's kernels take powers of two from 16 on"),
        (WeightOnly(algorithm=Algorithm.HQQ), "so it cannot be symmetric: add `symmetric: false`"),
        (WeightOnly(bits=8, symmetric=False, algorithm=Algorithm.HQQ), "with 4 bits, not with 8: add `bits: 4`"),
    ],
)
def test_objections(model: Path, prepared: WorkingCopy, tmp_path: Path, settings: WeightOnly, reason: str) -> None:
    assert reason in (objection(settings) or "")
    out = tmp_path / "out.onnx"
    outcome = weight_only.write(prepared, out, settings, NODES, None, open_onnx(model).inputs)
    assert outcome.fault == objection(settings)
    assert not out.exists()


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    hqq = WeightOnly(symmetric=False, algorithm=Algorithm.HQQ)
    assert objection(hqq) is None
    monkeypatch.setattr(weight_only, "version", lambda name: None if name == "torch" else "1")
    assert "hqq needs PyTorch: pip install" in (objection(hqq) or "")
    assert objection(WeightOnly()) is None
    monkeypatch.setattr(weight_only, "version", lambda _name: None)
    assert "pip install onnx-ir" in (objection(WeightOnly()) or "")
