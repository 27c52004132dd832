"""Where gates stand: the line in the file, and nothing of files that lie elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench_models import dense
from gate_evidence import report

from mlopt.gate.judge import judge
from mlopt.passes.table import table
from mlopt.recipe.gate_places import of_recipe, placed
from mlopt.recipe.gates import gates
from mlopt.recipe.gates_file import load_gates, places_in
from mlopt.recipe.load import load, parse

RECIPE = """\
apiVersion: mlopt/v1
name: digits
model: {source: ./m.onnx}
passes: [simplify]
gates:
  - {metric: size_mb, max: 1}
  # a word on why
  - metric: speedup.median
    min: 1.5
  - {metric: size_mb, max: 1}
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()
    dense(tmp_path / "recipes" / "m.onnx")
    path = tmp_path / "recipes" / "r.yaml"
    path.write_text(RECIPE)
    return path


def test_a_verdict_has_the_line_of_its_gate_and_one_that_goes_without_saying_has_none(recipe: Path) -> None:
    loaded = load(recipe, passes=table())
    found = placed(judge(gates(loaded.recipe), report()), of_recipe(loaded))
    told = [(one.place.file, one.place.line) if one.place else None for one in found]
    assert told == [("recipes/r.yaml", 6), ("recipes/r.yaml", 8), ("recipes/r.yaml", 6)]
    implied = load(recipe, passes=table(), overrides=["gates=[{metric: size_mb, max: 1}]"])
    verdicts = placed(judge(gates(implied.recipe), report()), of_recipe(implied))
    assert len(verdicts) == 2
    assert [one.place for one in verdicts] == [None, None]  # an override stands in no file


def test_a_recipe_below_another_folder_and_one_that_was_made_have_no_lines(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = parse(RECIPE.replace("1.5", "1.25"), recipe, passes=table())
    assert of_recipe(made) == {}  # another recipe stands there
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert of_recipe(load(recipe, passes=table())) == {}


def test_gates_in_a_file_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "g.yaml").write_text("# limits\n- {metric: size_mb, max: 1}\n- {metric: speedup.median, min: 2}\n")
    verdicts = placed(judge(load_gates(Path("g.yaml")), report()), places_in(Path("g.yaml")))
    assert [one.place and one.place.line for one in verdicts] == [2, 3]


def test_a_report_without_places_is_what_older_readers_know(tmp_path: Path) -> None:
    (verdict,) = judge(load_gates_of(tmp_path, "[{metric: size_mb, max: 1}]"), report())
    assert "place" not in verdict.model_dump(mode="json")


def load_gates_of(folder: Path, text: str) -> tuple:  # type: ignore[type-arg]
    (folder / "g.yaml").write_text(text)
    return load_gates(folder / "g.yaml")
