"""An artifact's model with the runtime and options that it was shipped with, as far as they make sense here."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_models import dense

from mlopt.artifact import deployed, layout
from mlopt.artifact.deployed import given, shipped, stated_options
from mlopt.artifact.layout import Content, Manifest, ModelEntry, Role, read_manifest
from mlopt.core.errors import IntegrityError, MissingPackage
from mlopt.formats.onnx.file import open_onnx
from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions
from mlopt.runtimes.table import open_session


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    def fill(folder: Path) -> Content:
        dense(folder / "model.onnx")
        (folder / "report.json").write_text('{"verdict": "pass"}')
        return Content(
            name="dense", model=ModelEntry.of(open_onnx(folder / "model.onnx"), folder), runtime="onnxruntime",
            options=OnnxRuntimeOptions(threads=1, graph_optimization="basic").model_dump(), verdict="pass",
            files={"model.onnx": Role.MODEL, "report.json": Role.REPORT},
        )  # fmt: skip

    layout.write(tmp_path / "dense", fill)
    return tmp_path / "dense"


def manifest(artifact: Path, **changes: Any) -> Manifest:
    return read_manifest(artifact).model_copy(update=changes)


def test_an_artifact_is_opened_as_it_was_measured(artifact: Path) -> None:
    found = given(artifact)
    assert found == shipped(artifact, manifest(artifact))
    assert (found.runtime, found.model.path) == ("onnxruntime", artifact / "model.onnx")
    assert found.options == OnnxRuntimeOptions(threads=1, graph_optimization="basic")


@pytest.mark.parametrize(
    "tuned",
    [
        {"spinning": False}, {"memory_pattern": False, "memory_arena": False}, {"prepacking": False},
        {"dynamic_block_base": 4}, {"inter_op_threads": 2, "graph_optimization": "none"},
    ],
)  # fmt: skip
def test_tuned_options_go_through_the_manifest_and_open_the_model(artifact: Path, tuned: dict[str, Any]) -> None:
    options = OnnxRuntimeOptions(threads=1, **tuned)
    written = json.loads((artifact / "mlopt.json").read_text())
    (artifact / "mlopt.json").write_text(json.dumps({**written, "options": options.model_dump(mode="json")}))
    found = given(artifact)
    assert found.options == options
    with open_session(found) as session:
        assert session.run({"x": np.ones((1, 64), np.float32)})["h1"].tolist() == [[1.0] * 64]


def test_a_bare_model_is_opened_as_its_runtime_does_by_default(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployed, "usable_cores", lambda: 3)
    assert given(artifact / "model.onnx").options == OnnxRuntimeOptions(threads=3)


def test_more_threads_than_cores_are_cut_and_that_is_said(
    artifact: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(deployed, "usable_cores", lambda: 2)
    large = manifest(artifact, options=OnnxRuntimeOptions(threads=64).model_dump())
    with caplog.at_level(logging.WARNING):
        assert stated_options(artifact, large).threads == 2
    assert "measured with 64 threads, and is opened with the 2" in caplog.text


@pytest.mark.parametrize("options", [{"threads": "2"}, {"threads": 0}, {"threads": 1, "log_file": "/etc/x"}])
def test_options_that_make_no_sense_are_a_fault_of_the_manifest(artifact: Path, options: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match="cannot be opened as the manifest says") as error:
        stated_options(Path("as/called"), manifest(artifact, options=options))
    assert "as/called/mlopt.json" in str(error.value)


def test_a_runtime_that_nobody_brings_is_a_missing_package(artifact: Path) -> None:
    with pytest.raises(MissingPackage) as error:
        shipped(artifact, manifest(artifact, runtime="acme", runtime_packages={"acme-rt": "1.2"}))
    assert "acme-rt 1.2" in str(error.value)
