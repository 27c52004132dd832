"""What is said of each engine is what `mlopt deploy` does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import deployed
import pytest
from assessed import measured_with, subject, with_manifest
from report_example import example_report

from mlopt.artifact.layout import Role
from mlopt.core.check import Check
from mlopt.core.errors import Problem
from mlopt.deploy.assessment.subject import AssessedArtifact, AssessmentRequest, assessed
from mlopt.deploy.assessment.targets import targets
from mlopt.deploy.table import ENGINES

NAMES = [each.name for each in ENGINES]


def told(found: AssessedArtifact) -> dict[str, Check]:
    return {check.name: check for check in targets(found, ENGINES)}


def test_each_engine_is_told_with_what_it_takes() -> None:
    found = told(subject(report=measured_with(example_report(), numpy="2.3.5")))
    assert list(found) == ["model files", *NAMES]
    assert {check.status for check in found.values()} == {"ok"}
    assert found["fastapi"].found.startswith("onnxruntime==1.32.0, numpy==2.3.5, fastapi==")
    assert "it takes no numpy but 1.26.4, and 2.3.5 was measured" in found["triton"].found
    assert "was measured" not in found["kserve"].found


def test_a_version_that_the_evidence_lacks_is_a_note() -> None:
    found = told(subject())
    assert (found["fastapi"].status, found["triton"].status) == ("note", "ok")
    assert "does not say with which numpy it was measured" in found["fastapi"].found


def test_what_is_refused_is_a_problem_for_every_engine() -> None:
    refused = replace(
        subject(), content=None, refusal=Problem("deployments are written for the CPU", got="cuda", fix="so")
    )
    found = told(refused)
    for name in NAMES:
        assert found[name] == Check(name, "problem", "deployments are written for the CPU: cuda", "so")


@pytest.mark.parametrize("engine", NAMES)
def test_what_is_told_is_what_is_written(engine: str, tmp_path: Path) -> None:
    words = deployed.artifact(tmp_path / "words")
    check = told(assessed(AssessmentRequest(words)))[engine]
    pod = deployed.written(tmp_path / "out", engine, words)["pod"]
    lines = (tmp_path / "out" / "requirements.txt").read_text().splitlines()
    written = [line.split("  #")[0] for line in lines if line and line[0] != "#"]
    assert check.found.split(";")[0].split(", ") == written
    assert f"a pod takes {pod['memory_mib']['value']:g} MiB" in check.found


def test_the_files_of_the_model_go_along_and_nothing_else() -> None:
    (found, *_) = targets(subject(), ENGINES)
    assert found.found.startswith("model.onnx (134 kB) goes along")
    files = {"model.onnx": Role.MODEL, "w.data": Role.MODEL_DATA, "report.json": Role.REPORT, "torch/m.py": Role.TORCH}
    (found, *_) = targets(with_manifest(subject(), files=files), ENGINES)
    assert found.status == "note"
    assert "model.onnx, w.data" in found.found
    assert "its Python with it, does not" in found.found
    assert "small tensors beside the graph" in found.found
