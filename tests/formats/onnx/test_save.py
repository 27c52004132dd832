"""Writing tensor by tensor: into one file beside the graph, from wherever they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from mlopt.formats.onnx.file import open_onnx
from mlopt.formats.onnx.save import save_model, without_weights


def model(*weights: np.ndarray) -> onnx.ModelProto:
    names = [f"w{index}" for index in range(len(weights))]
    nodes = [helper.make_node("Identity", [name], [f"y{name}"]) for name in names]
    ports = [helper.make_tensor_value_info(f"y{name}", TensorProto.FLOAT, None) for name in names]
    tensors = [numpy_helper.from_array(value, name) for name, value in zip(names, weights, strict=True)]
    graph = helper.make_graph(nodes, "g", [], ports, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@settings(max_examples=15, deadline=None)
@given(sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=4), moves=st.integers(0, 2))
def test_values_stay_however_often_they_move(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], moves: int
) -> None:
    weights = [np.random.default_rng(size).standard_normal(size, dtype=np.float32) for size in sizes]
    proto, source = model(*weights), tmp_path_factory.mktemp("source")
    for move in range(moves + 1):
        folder = tmp_path_factory.mktemp(f"move{move}")
        save_model(proto, folder / "m.onnx", external=True, source=source)
        proto, source = onnx.load(folder / "m.onnx", load_external_data=False), folder
    outside = [bool(tensor.external_data) for tensor in proto.graph.initializer]
    assert outside == [value.nbytes >= 1024 for value in weights]
    assert open_onnx(folder / "m.onnx").outputs  # offsets, lengths and files are what mlopt accepts
    back = tmp_path_factory.mktemp("back") / "m.onnx"
    save_model(proto, back, external=False, source=source)
    for tensor, value in zip(onnx.load(back).graph.initializer, weights, strict=True):
        np.testing.assert_array_equal(numpy_helper.to_array(tensor), value)
    assert [file.name for file in back.parent.iterdir()] == ["m.onnx"]


def test_each_tensor_starts_on_a_page(tmp_path: Path) -> None:
    save_model(
        model(np.ones(300, np.float32), np.ones(2000, np.float32)), tmp_path / "m.onnx", external=True, source=tmp_path
    )
    proto = onnx.load(tmp_path / "m.onnx", load_external_data=False)
    offsets = [{e.key: e.value for e in tensor.external_data}["offset"] for tensor in proto.graph.initializer]
    assert offsets == ["0", "4096"]
    assert (tmp_path / "m.onnx.data").stat().st_size == 4096 + 8000


def test_a_file_of_an_earlier_run_is_replaced(tmp_path: Path) -> None:
    for count in (4000, 1000):
        save_model(model(np.ones(count, np.float32)), tmp_path / "m.onnx", external=True, source=tmp_path)
    assert (tmp_path / "m.onnx.data").stat().st_size == 4000
    save_model(model(np.ones(1000, np.float32)), tmp_path / "m.onnx", external=False, source=tmp_path)
    assert not (tmp_path / "m.onnx.data").exists()


def test_a_tensor_may_leave_its_length_out(tmp_path: Path) -> None:
    """The format allows it; what a reader takes is then for the shape to say, not for the end of the file."""
    values = [np.full(1000, value, np.float32) for value in (1, 2)]
    proto = model(*values)
    save_model(proto, tmp_path / "m.onnx", external=True, source=tmp_path)
    for tensor in proto.graph.initializer:
        entries = [entry for entry in tensor.external_data if entry.key != "length"]
        del tensor.external_data[:]
        tensor.external_data.extend(entries)
    (tmp_path / "again").mkdir()
    save_model(proto, tmp_path / "again/m.onnx", external=True, source=tmp_path)
    assert (tmp_path / "again/m.onnx.data").stat().st_size == 4096 + 4000
    for tensor, value in zip(onnx.load(tmp_path / "again/m.onnx").graph.initializer, values, strict=True):
        np.testing.assert_array_equal(numpy_helper.to_array(tensor), value)


def test_a_large_file_is_written_in_pieces_and_is_the_protobuf_that_onnx_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proto = model(np.arange(3000, dtype=np.float32), np.ones(2, np.float32))
    proto.graph.initializer.append(helper.make_tensor("typed", TensorProto.FLOAT, [300], [1.5] * 300))
    constant = numpy_helper.from_array(np.ones(500, np.float32), "c")
    proto.graph.node.append(helper.make_node("Constant", [], ["constant"], value=constant))
    proto.metadata_props.add(key="author", value="she")
    onnx.save(proto, tmp_path / "whole.onnx")
    monkeypatch.setattr("mlopt.formats.onnx.graph.WORKED_ON_OUTSIDE_ABOVE", 0)
    (outside := tmp_path / "outside").mkdir()
    save_model(onnx.load(tmp_path / "whole.onnx"), outside / "m.onnx", external=True, source=tmp_path)
    for source in (tmp_path / "whole.onnx", outside / "m.onnx"):
        given = onnx.load(source, load_external_data=False)
        save_model(given, tmp_path / "pieces.onnx", external=False, source=source.parent)
        written = onnx.load(tmp_path / "pieces.onnx", load_external_data=False)
        assert written == onnx.load(tmp_path / "whole.onnx")


def test_a_copy_without_weights_has_the_same_shapes_and_what_is_small() -> None:
    given = model(np.ones((20, 30), np.float32), np.ones(2, np.float32))
    copy = without_weights(given)
    assert onnx.shape_inference.infer_shapes(copy).graph.output == onnx.shape_inference.infer_shapes(given).graph.output
    assert [bool(tensor.raw_data) for tensor in copy.graph.initializer] == [False, True]
    assert all(tensor.raw_data for tensor in given.graph.initializer)
