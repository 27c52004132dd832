"""ONNX as a format: how a model and its external data come into an artifact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from bench_models import dense
from onnx import numpy_helper

from mlopt.core.errors import ModelError
from mlopt.formats.model import ONNX, Model
from mlopt.formats.onnx.entry import FORMAT
from mlopt.formats.onnx.file import open_onnx

NAMES = ("w.bin", "deep/w.bin")


def external(folder: Path, location: str = "w.bin") -> Model:
    """Write a model whose weights lie under that name."""
    (folder / location).parent.mkdir(parents=True, exist_ok=True)
    onnx.save(
        onnx.load(dense(folder / "inside.onnx", width=16)), folder / "net.onnx", save_as_external_data=True,
        location=location, size_threshold=0,
    )  # fmt: skip
    return open_onnx(folder / "net.onnx")


def weights(model: Model) -> list[np.ndarray]:
    proto = onnx.load(model.path)
    return [numpy_helper.to_array(tensor) for tensor in proto.graph.initializer]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def copied(model: Model, out: Path, *, allowed: bool) -> Model:
    assert FORMAT.copy is not None
    return FORMAT.copy(model, out, lambda _name: allowed)


@pytest.mark.parametrize("location", NAMES)
def test_data_keep_a_name_that_an_artifact_can_hold(tmp_path: Path, out: Path, location: str) -> None:
    source = external(tmp_path / "source", location)
    copy = copied(source, out, allowed=True)
    assert [file.relative_to(out).as_posix() for file in copy.files] == ["model.onnx", location]
    assert copy.digest == source.digest


@pytest.mark.parametrize("location", NAMES)
def test_data_under_any_other_name_go_into_the_graphs_own_file(tmp_path: Path, out: Path, location: str) -> None:
    source = external(tmp_path / "source", location)
    copy = copied(source, out, allowed=False)
    assert [file.name for file in copy.files] == ["model.onnx"]
    np.testing.assert_array_equal(weights(copy), weights(source))


def test_or_if_that_would_be_too_large_into_one_beside_it(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlopt.formats.onnx.entry.EXTERNAL_DATA_ABOVE", 100)
    source = external(tmp_path / "source")
    copy = copied(source, out, allowed=False)
    assert [file.name for file in copy.files] == ["model.onnx", "model.onnx.data"]
    np.testing.assert_array_equal(weights(copy), weights(source))


@pytest.mark.parametrize("allowed", [True, False])
def test_a_model_that_changed_is_not_taken(tmp_path: Path, out: Path, allowed: bool) -> None:
    source = external(tmp_path / "source")
    (tmp_path / "source" / "w.bin").write_bytes(np.full((16, 16), 7, np.float32).tobytes())
    with pytest.raises(ModelError, match="the model changed after it was measured"):
        copied(source, out, allowed=allowed)


def test_its_graph_is_seen_without_its_weights(tmp_path: Path) -> None:
    source = external(tmp_path)
    (tmp_path / "w.bin").write_bytes(bytes(16 * 16 * 4))
    assert FORMAT.name == ONNX
    assert FORMAT.graph is not None
    graph = FORMAT.graph(source).graph
    assert [node.op_type for node in graph.node] == ["MatMul"]
    assert [tensor.data_location for tensor in graph.initializer] == [onnx.TensorProto.EXTERNAL]


def test_inputs_that_no_runtime_can_be_fed_are_refused(tmp_path: Path) -> None:
    assert FORMAT.check is not None
    path = dense(tmp_path / "m.onnx", width=4)
    FORMAT.check(open_onnx(path))
    proto = onnx.load(path)
    proto.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.BFLOAT16
    onnx.save(proto, path)
    with pytest.raises(ModelError):
        FORMAT.check(open_onnx(path))
