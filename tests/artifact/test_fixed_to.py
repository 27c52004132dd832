"""What the manifest says of a fixed model: there if it is one, and held against the model's file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from branching import voice_feeds, written
from deployables import in_runtime
from filled_artifact import filling
from pass_runs import applied, run_pass

from mlopt.artifact import layout
from mlopt.artifact.deployed import given
from mlopt.artifact.fixed_to import FixedTo
from mlopt.artifact.layout import Content, ModelEntry, Role, read_manifest
from mlopt.core.errors import IntegrityError, ModelError
from mlopt.formats.onnx.file import open_onnx
from mlopt.passes.specialize import PASS
from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions
from mlopt.runtimes.table import open_session

pytestmark = pytest.mark.heavy

FIXED = {"dims": {"batch": 1}, "inputs": {"rate": 16000, "loud": True}}


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    made = applied(run_pass(PASS, written(tmp_path / "m.onnx"), FIXED, tmp_path))

    def fill(folder: Path) -> Content:
        (folder / "model.onnx").write_bytes(made.path.read_bytes())
        (folder / "report.json").write_text('{"verdict": "pass"}')
        return Content(
            name="voice", model=ModelEntry.of(open_onnx(folder / "model.onnx"), folder), runtime="onnxruntime",
            options=OnnxRuntimeOptions(threads=1).model_dump(), verdict="pass",
            files={"model.onnx": Role.MODEL, "report.json": Role.REPORT},
        )  # fmt: skip

    layout.write(tmp_path / "voice", fill)
    return tmp_path / "voice"


def test_the_manifest_says_it_and_the_interface_looks_as_ever(artifact: Path) -> None:
    said = json.loads((artifact / "mlopt.json").read_text())["model"]
    assert said["fixed"] == FIXED
    assert {key for spec in (*said["inputs"], *said["outputs"]) for key in spec} == {"name", "dtype", "shape"}
    assert read_manifest(artifact).model.fixed == FixedTo(**FIXED)


def test_a_model_that_is_fixed_to_nothing_has_a_manifest_that_older_readers_take(tmp_path: Path) -> None:
    layout.write(tmp_path / "digits", filling())
    said = json.loads((tmp_path / "digits" / "mlopt.json").read_text())["model"]
    assert set(said) == {"file", "kind", "digest", "inputs", "outputs"}
    assert FixedTo.of(written(tmp_path / "m.onnx")) is None


def test_the_artifact_refuses_other_feeds(artifact: Path) -> None:
    with open_session(given(artifact)) as session:
        session.run(voice_feeds(time=3))
        with pytest.raises(ModelError, match="8000 instead of 16000"):
            session.run(voice_feeds(rate=8000))


@pytest.mark.parametrize(
    "said", [None, {"dims": {}, "inputs": {}}, {**FIXED, "dims": {"batch": 2}}, {**FIXED, "inputs": {"rate": 8000}}]
)
def test_a_manifest_that_says_something_else_is_not_believed(said: Any, artifact: Path) -> None:
    file = artifact / "mlopt.json"
    manifest = json.loads(file.read_text())
    manifest["model"]["fixed"] = said
    file.write_text(json.dumps(manifest))
    with pytest.raises(IntegrityError, match="disagree about what the model is fixed to"):
        given(artifact)


def test_what_a_manifest_says_of_values_among_the_inputs_counts_for_nothing(artifact: Path) -> None:
    file = artifact / "mlopt.json"
    manifest = json.loads(file.read_text())
    manifest["model"]["inputs"][2]["value"] = 8000
    file.write_text(json.dumps(manifest))
    assert given(artifact).model.fixed == FIXED["inputs"]


def test_the_file_alone_says_what_it_is_fixed_to(artifact: Path) -> None:
    with open_session(in_runtime(open_onnx(artifact / "model.onnx"))) as session, pytest.raises(ModelError):
        session.run(voice_feeds(rate=8000))
