"""NNCF's SmoothQuant: without the package, and, where it is installed, on a small encoder."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from quantization_models import encoder, random

from mlopt.compress.quantization.graph import prepare
from mlopt.compress.quantization.observe import outputs
from mlopt.compress.quantization.smooth import about, quantize_with_nncf
from mlopt.core.errors import MissingPackage
from mlopt.core.packages import install_command
from mlopt.data.dataset import Dataset, Samples, store
from mlopt.formats.model import Model
from mlopt.formats.onnx.file import open_onnx, read_graph

INSTALLED = find_spec("nncf") is not None


def sentences(folder: Path) -> Dataset:
    ids = np.random.default_rng(0).integers(0, 100, (8, 6))
    return store(Samples({"ids": ids, "offset": random(8, 6, 16)}), folder / "sentences", "test")


def small(folder: Path, *, opset: int = 20) -> Model:
    return open_onnx(encoder(folder / "m.onnx", opset=opset))


@pytest.mark.skipif(INSTALLED, reason="NNCF is installed")
def test_without_nncf_the_error_names_the_extra(tmp_path: Path) -> None:
    model = small(tmp_path)
    with pytest.raises(MissingPackage) as raised:
        quantize_with_nncf(prepare(model, tmp_path), sentences(tmp_path), model.inputs, tmp_path / "out.onnx")
    assert raised.value.problems[0].fix == install_command("smooth")


@pytest.mark.skipif(not INSTALLED, reason="needs NNCF")
def test_it_is_imported_with_its_telemetry_off() -> None:
    assert about() == {"telemetry": "off, by NNCF_CI=1"}


@pytest.mark.skipif(not INSTALLED, reason="needs NNCF")
@pytest.mark.parametrize("excluded", [(), ("down",)])
def test_the_model_runs_is_near_and_keeps_what_is_excluded(
    tmp_path: Path, excluded: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    model, data, out = small(tmp_path), sentences(tmp_path), tmp_path / "out.onnx"
    fault = quantize_with_nncf(prepare(model, tmp_path), data, model.inputs, out, excluded=excluded)
    assert fault is None
    assert capsys.readouterr().out == ""
    graph = read_graph(out).graph
    dequantized = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    integer = {node.name for node in graph.node if node.op_type == "MatMul" and dequantized & set(node.input)}
    assert integer == {"up", "down"} - set(excluded)
    feeds = {name: array[:1] for name, array in data.inputs.items()}
    before, after = outputs(model.path, feeds)[0], outputs(out, feeds)[0]
    assert float((before * after).sum() / np.linalg.norm(before) / np.linalg.norm(after)) > 0.9


@pytest.mark.skipif(not INSTALLED, reason="needs NNCF")
def test_what_nncf_cannot_do_is_told(tmp_path: Path) -> None:
    model, out = small(tmp_path), tmp_path / "out.onnx"
    fault = quantize_with_nncf(prepare(model, tmp_path), sentences(tmp_path), model.inputs, out, excluded=["absent"])
    assert fault is not None
    assert fault.startswith("NNCF failed: ValidationError: ")
