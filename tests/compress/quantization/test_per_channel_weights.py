"""Node by node: the result is what the quantizer makes of the whole, and what is shared is there once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from quantization_models import FLOAT, INT64, random, write

from mlopt.compress.quantization import graph as graph_module
from mlopt.compress.quantization.copies import dynamic_forms
from mlopt.compress.quantization.graph import prepare
from mlopt.compress.quantization.observe import outputs, quiet
from mlopt.compress.quantization.per_channel_weights import computed_by, rewrite_pieces
from mlopt.compress.quantization.prepared import WorkingCopy, save
from mlopt.formats.onnx.file import open_onnx, read_graph

X = {"x": random(3, 16)}
NAMES = ["one", "shares", "gemm"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Two products of one input, of which one also reads the other's weight, and a product that stays."""
    node = helper.make_node
    nodes = [
        node("MatMul", ["x", "w"], ["a"], name="one"),
        node("Tanh", ["a"], ["t"]),
        node("MatMul", ["t", "w"], ["b"], name="shares"),
        node("Gemm", ["x", "v", "bias"], ["c"], name="gemm", transB=1),
        node("MatMul", ["b", "kept"], ["d"], name="kept"),
        node("Add", ["c", "d"], ["y"]),
    ]
    weights = {
        "w": random(16, 16, seed=1), "v": random(16, 16, seed=2), "bias": random(16, seed=3),
        "kept": random(16, 16, seed=4),
    }  # fmt: skip
    return write(tmp_path / "m.onnx", nodes, weights, [("x", FLOAT, ["n", 16])], [("y", FLOAT, ["n", 16])])


def dynamic(piece: onnx.ModelProto, out: Path, *op_types: str) -> onnx.ModelProto:
    from onnxruntime.quantization import quantize_dynamic

    with quiet():
        quantize_dynamic(piece, out, op_types_to_quantize=op_types or ["MatMul"], reduce_range=True)  # for every CPU
    return onnx.load(out)


@pytest.fixture(params=[False, True], ids=["inside", "external"])
def prepared(
    model: Path, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> WorkingCopy:
    if request.param:
        monkeypatch.setattr(graph_module, "EXTERNAL_DATA_ABOVE", 0)
    (tmp_path / "prepared").mkdir()
    return prepare(open_onnx(model), tmp_path / "prepared")


def test_pieces_come_to_what_the_whole_comes_to(model: Path, prepared: WorkingCopy, tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def rewrite(piece: onnx.ModelProto, names: Collection[str]) -> onnx.ModelProto:
        seen.append([*names])
        return dynamic(piece, tmp_path / "piece.onnx")

    proto = rewrite_pieces(prepared, NAMES, rewrite, dynamic_forms(NAMES, ()))
    assert seen == [["one", "shares"], ["gemm"]]
    counts = Counter(node.op_type for node in proto.graph.node)
    assert counts["MatMulInteger"] == 3
    assert counts["DynamicQuantizeLinear"] == 2  # x is read twice and quantized once
    assert (counts["MatMul"], counts["Gemm"]) == (1, 0)
    names = [tensor.name for tensor in proto.graph.initializer]
    assert len(names) == len(set(names))
    assert {"w", "v"}.isdisjoint(names)
    assert {"kept", "bias"} <= set(names)

    out, whole = tmp_path / "out.onnx", tmp_path / "whole.onnx"
    save(proto, out, external=prepared.external, source=prepared.path.parent)
    onnx.checker.check_model(out)
    everything = onnx.load(model)
    everything.graph.node[4].name = "kept"
    dynamic(everything, whole)
    both = onnx.load(whole)
    assert [n.op_type for n in both.graph.node].count("MatMulInteger") == 4
    assert np.abs(outputs(out, X)[0] - outputs(whole, X)[0]).max() < 0.2 * np.abs(outputs(model, X)[0]).max()


def test_a_piece_that_is_not_changed_stays_as_it_is(model: Path, prepared: WorkingCopy, tmp_path: Path) -> None:
    proto = rewrite_pieces(prepared, [*NAMES, "kept"], lambda piece, _: piece, dynamic_forms(NAMES, ()))
    save(proto, tmp_path / "out.onnx", external=prepared.external, source=prepared.path.parent)
    np.testing.assert_array_equal(outputs(tmp_path / "out.onnx", X)[0], outputs(model, X)[0])
    assert [node.name for node in read_graph(tmp_path / "out.onnx").graph.node if node.op_type == "MatMul"] == [
        "one", "shares", "kept"
    ]  # fmt: skip


def test_weights_of_other_nodes_are_not_loaded(prepared: WorkingCopy) -> None:
    proto = rewrite_pieces(prepared, ["gemm"], lambda piece, _: piece, dynamic_forms(["gemm"], ()))
    inside = {tensor.name: bool(tensor.raw_data) for tensor in proto.graph.initializer}
    assert (inside["w"], inside["kept"]) == (not prepared.external, not prepared.external)


def test_an_embedding_and_the_product_behind_it_do_not_mix_up_their_integers(tmp_path: Path) -> None:
    """What the table's integers become, and what the product's input is rounded to, is called the same."""
    node = helper.make_node
    nodes = [node("Gather", ["table", "ids"], ["e"], name="embed"), node("MatMul", ["e", "w"], ["y"], name="product")]
    weights = {"table": random(20, 16, seed=1), "w": random(16, 8, seed=2)}
    path = write(tmp_path / "m.onnx", nodes, weights, [("ids", INT64, ["n", 4])], [("y", FLOAT, ["n", 4, 8])])
    (tmp_path / "prepared").mkdir()
    prepared = prepare(open_onnx(path), tmp_path / "prepared")

    def rewrite(piece: onnx.ModelProto, _: Collection[str]) -> onnx.ModelProto:
        return dynamic(piece, tmp_path / "piece.onnx", "MatMul", "Gather")

    proto = rewrite_pieces(prepared, ["embed", "product"], rewrite, dynamic_forms(["embed", "product"], ()))
    save(proto, tmp_path / "out.onnx", external=False)
    ids = {"ids": np.arange(20).reshape(5, 4)}
    expected, got = (outputs(each, ids)[0] for each in (path, tmp_path / "out.onnx"))
    assert np.abs(expected - got).max() < 0.05 * np.abs(expected).max()
    assert computed_by(("MatMulInteger",), proto.graph, prepared) == {"product"}


def test_which_layers_are_computed_otherwise_does_not_hang_on_names(prepared: WorkingCopy, tmp_path: Path) -> None:
    proto = rewrite_pieces(
        prepared, ["one", "gemm"], lambda piece, _: dynamic(piece, tmp_path / "piece.onnx"), dynamic_forms(NAMES, ())
    )
    for number, node in enumerate(proto.graph.node):
        node.name = f"{number}"
    assert computed_by(("MatMulInteger",), proto.graph, prepared) == {"one", "gemm"}
