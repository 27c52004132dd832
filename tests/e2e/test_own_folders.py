"""Folders as people have them, through the program: a Hugging Face model of each task, with data and without."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pretrained_folders import save_folder, save_lines, save_pictures
from small_graphs import AT_ANY_SPEED, BRIEFLY

from mlopt.cli.app import run

pytest.importorskip("transformers", reason="needs the extra mlopt[hf]")
QUICK = [word for override in (*BRIEFLY, AT_ANY_SPEED) for word in ("--set", override)]


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("architecture", "data"),
    [
        ("BertForSequenceClassification", "x.jsonl"), ("BertModel", ""), ("RobertaForTokenClassification", "x.jsonl"),
        ("ViTForImageClassification", "x"),
    ],
)  # fmt: skip
def test_a_folder_becomes_an_artifact_and_its_recipe_runs_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, architecture: str, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {"id2label": {0: "cat", 1: "owl", 2: "dog"}} if data == "x" else {}
    save_folder(tmp_path / "model", architecture, **settings)
    (save_pictures if data == "x" else save_lines)(tmp_path / (data or "unused"))
    given = ["--data", data] if data else []
    assert run(["optimize", "model", *given, "--no-sign", *QUICK]) == 0, capsys.readouterr().err
    names = [spec["name"] for spec in json.loads(Path("artifacts/model/mlopt.json").read_text())["model"]["inputs"]]
    assert ("pixel_values" in names) == (data == "x")
    assert ("attention_mask" in names) == (data != "x")
    assert run(["optimize", "artifacts/model.yaml", "-o", "again", "--no-sign", *QUICK]) == 0, capsys.readouterr().err
    first, second = (json.loads(Path(path, "report.json").read_text()) for path in ("artifacts/model", "again"))
    assert second["final"]["accuracy"] == first["final"]["accuracy"]
    assert second["baseline"]["fidelity"] == first["baseline"]["fidelity"]
