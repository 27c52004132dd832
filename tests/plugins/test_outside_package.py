"""One outside package brings a kind, its runtime and passes that lead there: every verb takes them as mlopt's own."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlopt
from mlopt.artifact.signing import keys
from mlopt.cli.app import run
from mlopt.core.errors import PluginError
from mlopt.formats import table as formats
from mlopt.passes import table as passes
from mlopt.passes.base import Pass
from mlopt.run.forecast import foresee
from mlopt.run.request import Request
from mlopt.runtimes import table as runtimes

pytestmark = pytest.mark.process
OUTSIDE = Path(__file__).parent / "outside"
WEIGHT, BIAS = np.float32([[1, -2], [0.5, 3], [0, 1], [-1, 0.25]]), np.float32([0.5, -0.5])
X = np.random.default_rng(0).standard_normal((32, 4)).astype(np.float32)
NET = """\
import torch

def build():
    net = torch.nn.Linear(4, 2)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[1, 0.5, 1e-6, -1], [-2, 3, 1, 0.25]]))
        net.bias.copy_(torch.tensor([0.5, -0.5]))
    return net
"""
STEPS = ("prune_small", "export", "to_toy")
RECIPE: dict[str, Any] = {
    "apiVersion": "mlopt/v1",
    "name": "linear",
    "model": {"source": "./net.py:build", "inputs": {"x": {"dtype": "float32", "shape": ["batch", 4]}}},
    "data": {"evaluation": {"source": "./x.npz"}},
    "target": {"runtime": "toyrt", "threads": 1},
    "passes": [{"prune_small": {"below": 1e-4}}, "export", {"to_toy": {"order": "columns"}}],
    "gates": [{"metric": "fidelity.cosine", "min": 0.99}, {"metric": "speedup.median", "min": 0.001}],
    "measure": {"seconds": 0.01, "rounds": 7, "max_time": 1},
}


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the package where Python finds it, and its entry points with it."""
    monkeypatch.syspath_prepend(str(OUTSIDE))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder with a recipe for the whole way from PyTorch, the signed artifact that it made, and a toy model."""
    folder = tmp_path_factory.mktemp("outside")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(OUTSIDE))
        patch.setenv("MLOPT_CACHE", str(folder / "cache"))
        patch.setenv("MLOPT_CONFIG", str(folder / "config"))
        patch.chdir(folder)
        (folder / "net.py").write_text(NET)
        np.savez(folder / "x.npz", x=X)
        (folder / "linear.json").write_text(json.dumps(RECIPE))
        (folder / "linear.json").rename(folder / "linear.yaml")
        said = {"input": "x", "output": "y", "weight": WEIGHT.tolist(), "bias": BIAS.tolist()}
        (folder / "own.toy").write_text(json.dumps(said))
        assert run(["optimize", "linear.yaml", "-o", "made", "--allow-code"]) == 0
        yield folder


@pytest.fixture
def here(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, as the working directory, with the key of the user who made it."""
    monkeypatch.chdir(home)
    monkeypatch.setenv("MLOPT_CONFIG", str(home / "config"))
    return home


def told(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int = 0) -> str:
    """Run a command; return all that it says, in one line."""
    capsys.readouterr()
    found = run(arguments)
    said = capsys.readouterr()
    text = " ".join(f"{said.out} {said.err}".split())
    assert found == code, text
    return text


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "mlopt.json").read_text())
    return found


def test_the_artifact_holds_the_kind_with_its_runtime_and_the_options_that_a_pass_chose(here: Path) -> None:
    said = manifest(here / "made")
    assert (said["model"]["file"], said["model"]["kind"]) == ("model.toy", "toy")
    assert (said["runtime"], said["options"]) == ("toyrt", {"threads": 1, "device": "cpu", "order": "columns"})
    assert (said["runtime_packages"], said["safe_isa"]) == ({"mlopt-outside": "1.0"}, None)
    report = json.loads((here / "made/report.json").read_text())
    assert [(step["pass"], step["status"]) for step in report["steps"]] == [
        ("prune_small", "applied"), ("export", "applied"), ("to_toy", "applied"),
    ]  # fmt: skip
    assert report["steps"][0]["notes"] == {"zeros": 1}
    assert (report["final"]["runtime"], report["final"]["options"]["order"]) == ("toyrt", "columns")
    assert report["baseline"]["runtime"] == "onnxruntime"
    assert report["references"]["torch_eager"]["runtime"] == "torch"
    assert "the operators of final were not timed: the runtime toyrt has no profile per operator" in report["notes"]


def test_it_is_verified_and_loaded_with_right_outputs(here: Path) -> None:
    assert run(["verify", "made", "--require-gate", "pass"]) == 0
    with mlopt.load("made") as session:
        answer = session.run({"x": X[:3]})
    np.testing.assert_allclose(answer["output"], X[:3] @ WEIGHT + BIAS, rtol=1e-5, atol=1e-5)


def test_inputs_that_do_not_fit_are_told_by_the_runtimes_name(here: Path) -> None:
    with mlopt.load("made") as session, pytest.raises(mlopt.MloptError, match="toyrt could not run the model"):
        session.run({"x": X[:3, :2]})


def test_a_second_run_takes_all_of_it_from_the_cache(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPT_CACHE", str(here / "cache"))
    again = mlopt.optimize("linear.yaml", output=here / "again", allow_code=True)
    assert [step.status for step in again.report.steps] == ["cached"] * 3
    assert again.report.final.options["order"] == "columns"
    ahead = foresee(Request(source=Path("linear.yaml"), allow_code=True))[0]
    assert [(each.name, each.cached) for each in ahead][-3:] == [(name, True) for name in STEPS]


def test_a_step_on_the_way_that_fails_leaves_what_runs_it_alone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its own result is no toy yet, so the recipe that is left must not ask for the toy's runtime."""
    override = ["--set", "passes.prune_small.below=1000.0"]
    assert "no weight would be left" in told(capsys, ["optimize", "linear.yaml", "--allow-code", *override], code=2)
    kept = next(Path("repro").glob("linear-1-prune_small*"))
    assert "runtime: auto" in (kept / "recipe.yaml").read_text()
    told(capsys, ["recipe", "check", str(kept / "recipe.yaml")])


def test_it_is_verified_without_the_package(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each != str(OUTSIDE)])
    assert "toyrt" not in runtimes.table()
    assert run(["verify", "made"]) == 0
    assert run(["gate", "made"]) == 0
    with pytest.raises(mlopt.MloptError) as caught:
        mlopt.load("made")
    assert caught.value.exit_code == 2
    said = str(caught.value)
    assert "no installed package brings the runtime 'toyrt'" in said
    assert "mlopt-outside 1.0" in said
    assert "mlopt.runtimes" in said


@pytest.mark.parametrize("path", ["made", "own.toy"])
def test_it_is_benched(here: Path, capsys: pytest.CaptureFixture[str], path: str) -> None:
    said = told(capsys, ["bench", path, "--time", "0.1", "--operators", "-o", f"{Path(path).stem}.bench.json"])
    assert f"the operators of {path} were not timed: the runtime toyrt has no profile per operator" in said
    report = json.loads(Path(f"{Path(path).stem}.bench.json").read_text())
    assert report["final"]["runtime"] == "toyrt"


@pytest.mark.parametrize("path", ["made", "own.toy"])
def test_it_is_inspected_as_far_as_it_can_be(here: Path, capsys: pytest.CaptureFixture[str], path: str) -> None:
    said = told(capsys, ["inspect", path])
    assert "x: float32[batch, 4]" in said
    assert "kind toy has no graph view" in said
    assert json.loads(told(capsys, ["inspect", path, "--json"]))["kind"] == "toy"


def test_a_bare_file_of_its_kind_is_told_to_need_a_recipe(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = told(capsys, ["optimize", "own.toy"], code=2)
    assert "mlopt makes no recipe for a toy model" in said
    assert "model: {source: ./own.toy}" in said


def test_what_takes_a_graph_view_says_that_the_kind_has_none(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "kind toy has no graph view" in told(capsys, ["compare", "made", "own.toy"], code=2)


def test_the_evidence_is_shown_judged_and_told_apart(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "final" in told(capsys, ["report", "made"])
    assert "fidelity.cosine >= 0.99" in told(capsys, ["gate", "made"])
    assert "speedup.median" in told(capsys, ["diff", "made", "made"])


def test_recipes_know_its_passes_and_its_suffix(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema = told(capsys, ["recipe", "schema"])
    assert "weights of a smaller magnitude become zero" in schema
    assert "prune_small > export > to_toy" in told(capsys, ["recipe", "check", "linear.yaml"])
    assert "toy" in told(capsys, ["passes", "to_toy"])
    odd = ["recipe", "check", "linear.yaml", "--set", "model.source=./own.toy"]
    assert "a toy file declares its own inputs" in told(capsys, odd, code=2)


def test_a_file_of_its_kind_can_be_the_source(here: Path) -> None:
    recipe = RECIPE | {"name": "own", "model": {"source": "./own.toy"}, "passes": []}
    (here / "own.yaml").write_text(json.dumps(recipe))
    made = mlopt.optimize("own.yaml", output=here / "own")
    assert (made.report.final.runtime, made.report.final.options["order"]) == ("toyrt", "rows")
    with mlopt.load(here / "own") as session:
        np.testing.assert_allclose(session.run({"x": X[:1]})["y"], X[:1] @ WEIGHT + BIAS, rtol=1e-6)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("target.runtime=onnxruntime", "the passes end in a model that onnxruntime does not run"),
        ("target.runtime=toyrtt", "did you mean 'toyrt'"),
        ("target.device=cuda", "the runtime toyrt does not run on this device"),
    ],
)
def test_a_target_that_does_not_fit_is_refused_before_any_work(
    here: Path, capsys: pytest.CaptureFixture[str], override: str, said: str
) -> None:
    assert said in told(capsys, ["recipe", "check", "linear.yaml", "--set", override], code=2)


@pytest.mark.parametrize("runtime", ["auto", '["torch", "toyrt"]'])
def test_the_first_runtime_that_takes_the_result_is_chosen(
    here: Path, capsys: pytest.CaptureFixture[str], runtime: str
) -> None:
    told(capsys, ["recipe", "check", "linear.yaml", "--set", f"target.runtime={runtime}"])


@pytest.mark.parametrize("options", [{"library": "/tmp/x.so"}, {"order": "diagonals"}, {"threads": "1"}])
def test_options_that_the_runtime_does_not_know_are_an_integrity_failure(
    here: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, options: dict[str, Any]
) -> None:
    hostile = Path(shutil.copytree(here / "made", tmp_path / "hostile"))
    said = manifest(hostile)
    (hostile / "mlopt.json").write_text(json.dumps(said | {"options": said["options"] | options}))
    assert "the model cannot be opened as the manifest says" in told(capsys, ["bench", str(hostile)], code=4)
    assert run(["sign", str(hostile), "--key", str(keys.user_key_path())]) == 0
    with pytest.raises(mlopt.MloptError) as caught:
        mlopt.load(hostile)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("group", "line", "said"),
    [
        ("formats", "onnx = mlopt_outside.toy_format:FORMAT2", "cannot be loaded"),
        ("formats", "again = mlopt_outside.toy_format:FORMAT", "two formats are called 'toy'"),
        ("runtimes", "again = mlopt_outside.toy_runtime:RUNTIME", "two runtimes are called 'toyrt'"),
        ("passes", "again = mlopt_outside.passes:TO_TOY", "two passes are called 'to_toy'"),
        ("runtimes", "odd = mlopt_outside.passes:TO_TOY", "is not a runtime"),
        ("runtimes", "odd = mlopt_broken:RUNTIME", "RuntimeError: this module is broken"),
    ],
)
def test_what_does_not_load_or_has_a_name_that_is_taken_is_told_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str, line: str, said: str
) -> None:
    info = tmp_path / "mlopt_second-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mlopt-second\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text(f"[mlopt.{group}]\n{line}\n")
    (tmp_path / "mlopt_broken.py").write_text("raise RuntimeError('this module is broken')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(PluginError) as caught:
        {"formats": formats, "runtimes": runtimes, "passes": passes}[group].table()
    problem = caught.value.problems[0]
    assert said in f"{problem.what} {problem.got}"
    assert "mlopt-second" in f"{problem.where} {problem.fix}"


def test_a_broken_package_stops_nobody_who_does_not_use_it(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "entry_points", lambda **_: pytest.fail("another package was loaded"))
    assert formats.format_for(Path("model.onnx")) is formats.BUILTIN[0]
    assert runtimes.runtime_named("onnxruntime") is runtimes.BUILTIN[0]
    assert all(isinstance(each, Pass) for each in passes.BUILTIN)
