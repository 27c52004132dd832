"""What takes consent: Python, a TorchScript file, weights in a pickle; and nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench_models import dense

from mlopt.passes.table import table
from mlopt.recipe.load import Loaded, load
from mlopt.run.consent import consent, consent_to_data

BUILT = "{source: ./net.py:build, weights: ./w.pt, inputs: {x: {dtype: float32, shape: [batch, 4]}}}"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text("def build(): ...\n")
    (tmp_path / "w.pt").write_bytes(b"")
    dense(tmp_path / "net.onnx", width=4)
    return tmp_path


def recipe(model: str) -> Loaded:
    Path("r.yaml").write_text(f"apiVersion: mlopt/v1\nname: net\nmodel: {model}\npasses: [simplify]\n")
    return load(Path("r.yaml"), passes=table())


@pytest.mark.usefixtures("here")
def test_python_and_pickles_take_consent_and_nothing_else_does() -> None:
    assert consent(recipe("{source: net.onnx}"), code=False, pickles=False) == []
    loaded = recipe(BUILT)
    problems = consent(loaded, code=False, pickles=False)
    assert [problem.where for problem in problems] == ["model.source", "model.weights"]
    assert ["--allow-code" in str(problems[0].fix), "--allow-pickle" in str(problems[1].fix)] == [True, True]
    assert [each.where for each in consent(loaded, code=True, pickles=False)] == ["model.weights"]
    assert consent(loaded, code=True, pickles=True) == []


def test_a_torchscript_file_takes_consent_and_says_why(here: Path) -> None:
    pytest.importorskip("torch", reason="making TorchScript needs the extra mlopt[torch]")
    import scripted_modules as modules

    modules.save(modules.Loop(), here / "m.pt")
    loaded = recipe("{source: ./m.pt, inputs: {x: {dtype: float32, shape: [batch, 4]}}}")
    (problem,) = consent(loaded, code=False, pickles=True)
    assert (problem.where, problem.got) == ("model.source", str(here / "m.pt"))
    assert "runs in PyTorch's interpreter, which is no sandbox" in problem.what
    assert "--allow-code" in str(problem.fix)
    assert consent(loaded, code=True, pickles=False) == []


def test_to_read_data_only_the_function_that_makes_them_takes_consent(here: Path) -> None:
    (here / "x.npz").touch()
    loaded = recipe(BUILT + "\ndata: {evaluation: {source: './net.py:rows'}, calibration: {source: ./x.npz}}")
    (problem,) = consent_to_data(loaded, "evaluation", code=False)
    assert (problem.where, "--allow-code" in str(problem.fix)) == ("data.evaluation.source", True)
    assert consent_to_data(loaded, "evaluation", code=True) == []
    assert consent_to_data(loaded, "calibration", code=False) == []
