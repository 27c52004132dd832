"""The fault that is planted is found, named and mended; and what cannot be mended is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from planted_fault import FAULTY_NODES, planted, samples

from mlopt.bisect import trials
from mlopt.bisect.find import bisect
from mlopt.bisect.finding import Finding
from mlopt.core.errors import GateError
from mlopt.formats.model import ONNX, Model
from mlopt.measure import evaluate
from mlopt.passes.base import Context, Pass, PassConfig, PassResult
from mlopt.passes.table import table
from mlopt.run import inputs, optimize, step
from mlopt.run.request import Request

RECIPE = """\
apiVersion: mlopt/v1
name: planted
model: {source: ./planted.onnx}
data:
  calibration: {source: ./calibration.npz}
  evaluation: {source: ./evaluation.npz}
passes:
  - simplify: {optional: true}
  - quantize: {mode: static, optional: true}  # by hand
gates:
  - {metric: fidelity.sqnr_db, min: 30}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The planted fault with its data, and a cache that these tests share."""
    folder = tmp_path_factory.mktemp("bisect")
    planted(folder / "planted.onnx")
    for name, count, seed in (("calibration", 16, 1), ("evaluation", 24, 50)):
        values: dict[str, Any] = samples(count, seed)
        np.savez(folder / f"{name}.npz", **values)
    return folder


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Share the cache, and stay in this process: that workers are used is for the slow test of the command line."""
    monkeypatch.setenv("MLOPT_CACHE", str(folder / "cache"))
    monkeypatch.chdir(folder)
    for module in (inputs, trials):
        monkeypatch.setattr(module, "run_in_worker", lambda _log, function, *given, **more: function(*given, **more))
    monkeypatch.setattr(step, "run_in_worker", lambda _log, function, *given, **more: function(*given, **more))
    monkeypatch.setattr(
        evaluate, "run_in_worker_for", lambda _s, _log, function, *given, **more: function(*given, **more)
    )


def found(folder: Path, text: str = RECIPE, name: str = "recipe.yaml") -> Finding:
    (folder / name).write_text(text)
    return bisect(Request(folder / name, sign=False), lambda *_: None)


@pytest.mark.heavy
def test_the_planted_fault_is_found_and_the_recipe_that_comes_out_meets_its_limit(folder: Path) -> None:
    finding = found(folder)
    assert [row.step for row in finding.chain] == ["source", "simplify", "quantize"]
    assert finding.broken_by == 2
    chosen = finding.chosen
    assert chosen is not None
    assert tuple(suspect.node for suspect in chosen.nodes) == FAULTY_NODES
    assert (chosen.by, chosen.samples, finding.samples) == ("calibration", 16, 24)
    assert (chosen.before[0].holds, chosen.after[0].holds, chosen.result[0].holds, finding.met) == (False, *[True] * 3)
    assert "exclude: [conv2, conv3]}  # by hand" in chosen.edited.text
    assert chosen.edited.step == "  - quantize: {mode: static, optional: true, exclude: [conv2, conv3]}"

    again = found(folder, chosen.edited.text, "fixed.yaml")
    assert (again.broken_by, again.chosen, again.met) == (None, None, True)
    assert again.chain[2].figures == chosen.result
    assert again.chain[2].status == "cached"  # the trial was the very step that the new recipe has


@pytest.mark.heavy
def test_without_calibration_samples_that_can_decide_the_evaluation_samples_choose_and_this_is_said(
    folder: Path,
) -> None:
    labelled: dict[str, Any] = samples(24, 50) | {"labels": np.arange(24) % 10}
    np.savez(folder / "labelled.npz", **labelled)
    text = RECIPE.replace("./evaluation.npz", "./labelled.npz") + "  - {metric: accuracy.drop_pt, max: 0}\n"
    finding = found(folder, text.replace("passes:", "metric: {name: accuracy}\npasses:"))
    assert finding.chosen is not None
    assert finding.chosen.by == "evaluation"
    assert finding.notes[0].startswith("the calibration samples could not choose: the metric 'accuracy' needs labels")
    assert finding.notes[-1].startswith("the samples that chose also judge")


@pytest.mark.heavy
def test_a_limit_that_no_exclusion_meets_costs_the_pass(folder: Path) -> None:
    finding = found(folder, RECIPE.replace("min: 30", "min: 90"))
    assert (finding.broken_by, finding.chosen, finding.met) == (2, None, False)
    assert finding.advice == "nothing need be done: 'quantize' is optional, and `mlopt optimize` drops it"
    required = RECIPE.replace("min: 30", "min: 90").replace("mode: static, optional: true", "mode: static")
    advice = found(folder, required).advice
    assert advice == "leave 'quantize' out of the passes, or mark it `optional: true`, and it is dropped"


class NoKeys(PassConfig):
    """A pass without an ``exclude``."""


def half_gone(model: Model, _config: NoKeys, context: Context) -> PassResult:
    """Set half of the largest weight to zero."""
    proto = onnx.load(model.path)
    largest = max(proto.graph.initializer, key=lambda tensor: np.prod(tensor.dims))
    values = numpy_helper.to_array(largest).copy()
    values[::2] = 0
    largest.CopyFrom(numpy_helper.from_array(values, largest.name))
    onnx.save(proto, context.out / "model.onnx")
    return PassResult(context.out / "model.onnx")


@pytest.fixture
def damaging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give recipes a pass ``half_gone``."""
    kinds = frozenset({ONNX})
    pass_ = Pass("half_gone", 1, "damage", kinds, ONNX, NoKeys, half_gone, lossy=True)
    monkeypatch.setattr(optimize, "table", lambda: {**table(), "half_gone": pass_})


@pytest.mark.usefixtures("damaging")
def test_a_pass_that_cannot_exclude_is_named(folder: Path) -> None:
    finding = found(folder, RECIPE.replace("simplify: {optional: true}", "half_gone"))
    assert (finding.broken_by, finding.chosen, finding.met) == (1, None, False)
    assert finding.advice == "leave 'half_gone' out of the passes, or mark it `optional: true`, and it is dropped"


@pytest.mark.usefixtures("damaging")
def test_a_later_step_that_breaks_the_limit_again_is_no_success(folder: Path) -> None:
    finding = found(folder, RECIPE.replace("gates:", "  - half_gone\ngates:"))
    assert finding.broken_by == 2
    assert finding.chosen is not None
    assert (finding.chosen.after[0].holds, finding.chosen.result[0].holds, finding.met) == (True, False, False)
    assert finding.notes[0] == (
        "with what the calibration samples chose (conv2, conv3), the chain ends beyond a limit"
    )  # fmt: skip
    assert [name for name in finding.notes if "evaluation samples chose" in name]


def test_a_source_beyond_the_limit_is_no_fault_of_a_pass(folder: Path) -> None:
    text = RECIPE.replace("fidelity.sqnr_db, min: 30", "accuracy.value, min: 1.5")
    finding = found(folder, text)
    assert (finding.broken_by, finding.met) == (0, False)
    assert finding.advice == "the source model itself is beyond the limit, and no pass is to blame"


def test_a_recipe_without_a_limit_on_quality_is_refused(folder: Path) -> None:
    text = RECIPE.replace("fidelity.sqnr_db, min: 30", "speedup.median, min: 1.0")
    with pytest.raises(GateError, match="no gate limits accuracy or fidelity"):
        found(folder, text)


def test_a_limit_for_other_machines_is_left_out_and_named(folder: Path) -> None:
    other = "  - {metric: fidelity.cosine, min: 0.5, hardware: {cpu: no such CPU}}\n"
    finding = found(folder, RECIPE.replace("passes:\n", "passes: []\n#").split("#")[0] + "gates:\n" + other
                    + "  - {metric: fidelity.max_abs, max: 1}\n")  # fmt: skip
    assert finding.notes == ("left out, for it is about another run or machine: fidelity.cosine >= 0.5 on no such CPU",)
    assert finding.met
