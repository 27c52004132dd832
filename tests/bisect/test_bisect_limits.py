"""What the recipe's limits say of one model, without intervals."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from gate_evidence import ENVIRONMENT

from mlopt.bisect.limits import FIGURES, LimitFigure, figures, hold, limits
from mlopt.gate.limits import Gate, HardwareClass
from mlopt.gate.vocabulary import METRICS
from mlopt.measure.evaluate import Evaluator
from mlopt.runtimes.base import Deployable


class Answers:
    """An evaluator whose models are their outputs, of which the accuracy is the first."""

    @property
    def reference(self) -> dict[str, Any]:
        return {"y": np.float32(EQUAL)}

    def outputs(self, model: Any) -> dict[str, Any]:
        return {"y": np.asarray(model, np.float32)}

    def scores(self, model: Any) -> Any:
        return type("Scores", (), {"value": float(np.ravel(model)[0])})

    def drop(self, model: Any) -> Any:
        return type("Drop", (), {"pt": 1 - float(np.ravel(model)[0])})


EQUAL, HALF = [[1, 2], [3, 4]], [[0.5, 1], [1.5, 2]]


def asked(outputs: Any, **limit: Any) -> LimitFigure:
    (found,) = figures([Gate(**limit)], cast(Evaluator, Answers()), cast(Deployable, outputs))
    return found


def test_every_gate_on_quality_has_its_figure() -> None:
    assert set(FIGURES) == {name for name in METRICS if name.startswith(("accuracy.", "fidelity."))}


@pytest.mark.parametrize("metric", FIGURES)
def test_a_model_that_answers_as_the_source_is_as_good_as_can_be(metric: str) -> None:
    worse, better = asked(HALF, metric=metric, min=-1e9), asked(EQUAL, metric=metric, min=-1e9)
    assert worse.holds
    assert better.holds
    if metric == "fidelity.sqnr_db":
        assert better.value is None  # infinite
        assert worse.value == pytest.approx(20 * math.log10(2), abs=0.1)
    elif metric in ("fidelity.cosine", "fidelity.matched"):
        assert better.value == pytest.approx(1)
    elif metric != "accuracy.value":
        assert better.value == pytest.approx(0, abs=1e-6)


def test_outputs_that_are_equal_meet_any_least_signal_to_noise_and_no_most() -> None:
    assert asked(EQUAL, metric="fidelity.sqnr_db", min=500).holds
    assert not asked(EQUAL, metric="fidelity.sqnr_db", max=500).holds
    assert not asked(HALF, metric="fidelity.sqnr_db", min=500).holds


def test_a_figure_at_its_limit_meets_it() -> None:
    assert asked(HALF, metric="accuracy.value", min=0.5) == LimitFigure("accuracy.value", ">= 0.5", 0.5, holds=True)
    assert asked(HALF, metric="accuracy.drop_pt", max=0.5).holds
    assert not asked(HALF, metric="accuracy.drop_pt", max=0.49).holds


def test_all_limits_have_to_be_met() -> None:
    met, broken = asked(HALF, metric="accuracy.value", min=0.5), asked(HALF, metric="accuracy.value", min=0.6)
    assert [hold(found) for found in ([], [met], [met, broken])] == [True, True, False]


def test_limits_of_other_machines_other_runs_and_other_things_are_not_asked(tmp_path: Path) -> None:
    mine = HardwareClass(cpu="amd epyc*", cores=2)
    kept = [
        Gate(metric="fidelity.cosine", min=0.9),
        Gate(metric="fidelity.cosine", min=0.9, hardware=mine),
        Gate(metric="accuracy.drop_pt", max=1, vs="torch_eager"),
    ]
    others = [
        Gate(metric="fidelity.cosine", min=0.9, hardware=HardwareClass(cores=64)),
        Gate(metric="accuracy.drop_pt", max=1, vs="./main.json"),
        Gate(metric="accuracy.drop_pt", max=1, vs="baseline"),
        Gate(metric="size_mb", max=1),
    ]
    assert limits([*kept, *others], ENVIRONMENT) == tuple(kept)
