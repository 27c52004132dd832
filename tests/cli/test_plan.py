"""``mlopt plan``: what a run would do, of which nothing is done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench_models import dense
from verb_runs import running

from mlopt.cli.plan import plan
from mlopt.core.errors import RecipeError

run = running(plan)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a model."""
    monkeypatch.chdir(tmp_path)
    dense(tmp_path / "net.onnx")
    return tmp_path


def test_the_steps_of_a_bare_model_are_told_and_none_is_done(here: Path) -> None:
    done = run("plan", "net.onnx")
    lines = [line.split() for line in done.stdout.splitlines()]
    told = {line[0]: line[1] for line in lines if len(line) > 1}
    assert [name for name in told if name in {"step", "source", "evaluation"}] == ["step", "source", "evaluation"]
    assert (told["source"], told["evaluation"]) == ("cached", "runs")
    assert "simplify" in done.stdout
    assert "most of it" in done.stdout
    assert "note: No data was given" in done.stderr
    assert [path.name for path in here.iterdir()] == ["net.onnx"]


def test_json_is_a_list_of_steps() -> None:
    done = run("plan", "net.onnx", "--json", "--set", "passes=[simplify, {fuse: {optional: true}}]")
    steps = json.loads(done.stdout)
    measured = ["trials", "measure", "pack"]
    assert [step["name"] for step in steps] == ["source", "evaluation", "simplify", "fuse", *measured]
    assert [step["cached"] for step in steps] == [True, False, None, None, False, False, False]
    assert [step["optional"] for step in steps] == [False, False, False, True, False, False, False]
    assert all(step["seconds"] >= 0 and step["basis"] for step in steps)


def test_the_runtime_is_that_of_the_target() -> None:
    with pytest.raises(RecipeError, match="the passes end in a model that torch does not run"):
        run("plan", "net.onnx", "--runtime", "torch")
    steps = json.loads(run("plan", "net.onnx", "--json", "--runtime", "onnxruntime").stdout)
    assert [step["name"] for step in steps][:4] == ["source", "evaluation", "simplify", "fuse"]


def test_code_is_looked_at_without_consent_since_none_of_it_runs(here: Path) -> None:
    (here / "net.py").write_text("raise SystemExit('it ran')\n\ndef build(): ...\n")
    (here / "r.yaml").write_text(
        "apiVersion: mlopt/v1\nname: r\npasses: [export]\nmodel:\n  source: ./net.py:build\n  outputs: [y]\n"
        "  inputs: {x: {dtype: float32, shape: [batch, 4]}}\n"
    )
    steps = json.loads(run("plan", "r.yaml", "--json").stdout)
    assert [(step["name"], step["cached"]) for step in steps] == [
        ("source", False), ("evaluation", None), ("export", None), ("measure", False), ("pack", False),
    ]  # fmt: skip


def test_what_optimize_would_refuse_is_refused() -> None:
    with pytest.raises(RecipeError, match="there is no such file"):
        run("plan", "none.yml.txt")
    with pytest.raises(RecipeError, match="unknown pass 'no_such_pass'"):
        run("plan", "net.onnx", "--set", "passes=[no_such_pass]")
