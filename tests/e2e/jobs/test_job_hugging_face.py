"""Job 3: a folder as `save_pretrained` writes it, and reviews in a .jsonl file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from pretrained_folders import save_folder, save_lines
from user_jobs import Job

pytest.importorskip("transformers", reason="needs the extra `hf`")

LOADED = """
import mlopt
with mlopt.load("artifacts/reviews") as session:
    names = {spec.name for spec in session.inputs}
    assert {"input_ids", "attention_mask"} <= names, names
assert "transformers" not in __import__("sys").modules, "serving must not need it"
"""


def test_a_classifier_of_texts_becomes_an_artifact_that_needs_no_transformers(job: Job) -> None:
    save_folder(job.folder / "reviews", "BertForSequenceClassification")
    save_lines(job.folder / "reviews.jsonl")
    told = job.mlopt("optimize", "reviews", "--data", "reviews.jsonl", code=None)
    assert told.returncode in {0, 1, 3}, told.stderr
    report = json.loads((job.folder / "artifacts" / "reviews" / "report.json").read_text(encoding="utf-8"))
    assert report["final"]["fidelity"]["cosine"] > 0.98
    job.writes(loaded_py=LOADED)
    job.run("loaded.py", python=sys.executable)
    job.mlopt("recipe", "check", Path("artifacts") / "reviews.yaml")


def test_code_of_a_folder_never_runs(job: Job) -> None:
    folder = save_folder(job.folder / "reviews", "BertForSequenceClassification")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "evil.Model"}}))
    (folder / "evil.py").write_text("open('ran', 'w').close()")
    said = job.mlopt("optimize", "reviews", code=2).stderr
    assert "auto_map" in said
    assert not list(job.folder.rglob("ran"))
